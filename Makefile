# Two commands for a newcomer: `make demo` and `make test`. Each makes its own virtual environment as needed.

VENV ?= .venv
# The first interpreter that runs, has a supported version and can make a virtual environment.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c $(PYTHON_CHECK) >/dev/null 2>&1 && echo $$p && break; done)
PYTHON_CHECK := 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
DEMO_OUT ?= runs/demo
DEMO_ARGS ?=
PYTEST_ARGS ?=

PIP := "$(VENV)/bin/python" -m pip --disable-pip-version-check install --quiet

.PHONY: help demo test test-all lint docs setup clean

help:
	@echo "make demo      train, evaluate, upscale at a small size; results in $(DEMO_OUT) (DEMO_ARGS=... are passed on)"
	@echo "make test      run the tests (PYTEST_ARGS=... are passed on)"
	@echo "make test-all  run the slow tests too"
	@echo "make lint      check style, format and the direction of imports"
	@echo "make docs      build the documentation site into site/; open site/index.html"
	@echo "make setup     only install what the demo and the tests need into $(VENV)"
	@echo "make clean     remove $(VENV), the environments of .ci/run, and caches; trained models stay"

demo: $(VENV)/.installed-run
	"$(VENV)/bin/python" -m srgan_jax.demo --out "$(DEMO_OUT)" $(DEMO_ARGS)

test: $(VENV)/.installed-dev
	"$(VENV)/bin/python" -m pytest $(PYTEST_ARGS)

test-all: $(VENV)/.installed-dev
	"$(VENV)/bin/python" -m pytest -m "slow or not slow" $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	"$(VENV)/bin/python" -m ruff check .
	"$(VENV)/bin/python" -m ruff format --check .
	"$(VENV)/bin/lint-imports" --no-cache

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 "$(VENV)/bin/python" -m mkdocs build --strict --quiet

setup: $(VENV)/.installed-dev

# The stamps keep repeated runs from installing again; a changed requirements file makes the next run install.
$(VENV)/.made:
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		echo "No Python 3.11, 3.12 or 3.13 with its venv module was found on PATH:" \
			"install one, or name it with make PYTHON=/path/to/python3.12." >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c $(PYTHON_CHECK) >/dev/null 2>&1; then \
		echo "PYTHON=$$python does not run, is not Python 3.11 to 3.13, or lacks its venv module:" \
			"name another, e.g. make PYTHON=python3.12." >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version)."; \
	"$$python" -m venv "$(VENV)"
	@touch "$@"

# What the demo needs: the core, training and evaluation.
RUN := requirements.txt requirements-train.txt requirements-eval.txt

$(VENV)/.installed-run: $(RUN) $(VENV)/.made
	@echo "Installing what training and evaluation need into $(VENV) (once, a few minutes)."
	@$(PIP) $(RUN:%=-r %)
	@touch "$@"

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed-run
	@echo "Installing requirements-dev.txt into $(VENV) (once)."
	@$(PIP) $(RUN:%=-r %) -r requirements-dev.txt
	@touch "$@"

$(VENV)/.installed-docs: requirements-docs.txt $(VENV)/.installed-dev
	@$(PIP) $(RUN:%=-r %) -r requirements-docs.txt
	@touch "$@"

clean:
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	rm -rf .ci/.venv* .pytest_cache .ruff_cache build dist site *.egg-info
	find . -name __pycache__ -type d -not -path "./.git/*" -prune -exec rm -rf {} +

# belle2dark: `make app` opens the searches in a browser, `make test` runs the tests; `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
PORT   ?= 8866
BIN    := $(VENV)/bin
# pip, with the versions that are tested
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install app lab run test lint check templates networks bench lock clean

help:
	@echo "make app                     serve the notebooks on http://localhost:$(PORT)/ (PORT=... to change)"
	@echo "make lab                     open the notebooks in JupyterLab"
	@echo "make run SEARCH=name [ARGS=] run one notebook in batch: make run SEARCH=dark_higgsstrahlung ARGS='-p m_aprime=6'"
	@echo "make install                 create $(VENV) with the package and its pinned dependencies"
	@echo "make test                    install the test extras and run the tests (ARGS='-k name' to select)"
	@echo "make lint                    ruff and mypy"
	@echo "make check                   expected limits against the published ones"
	@echo "make templates               rebuild the shipped background templates and cuts, 20 minutes (ARGS='--only hadronic': the lists from Pythia)"
	@echo "make networks                train the networks of the searches, 15 minutes; then make templates again"
	@echo "make bench                   time the kernels against numpy"
	@echo "make lock                    resolve the dependencies again into constraints.txt"
	@echo "make clean                   remove $(VENV) and what was built"

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "belle2dark needs Python 3.11 or newer: $(PYTHON) was not found; try make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "belle2dark needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "could not create $(VENV); on Debian: apt install python3-venv"; exit 1; }

# A stamp per set of dependencies: what is installed is not installed again until the pins change.
$(VENV)/.core: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing belle2dark into $(VENV) (about a minute)"
	@$(PIP) -e .
	@$(BIN)/jupyter labextension disable "@jupyterlab/apputils-extension:announcements" >/dev/null 2>&1
	@echo "Compiling the event kernels, so that the first page does not wait for it"
	@$(BIN)/belle2dark point dark_higgsstrahlung --json >/dev/null
	@{ echo "dark_higgsstrahlung --method cls"; echo "dark_higgsstrahlung --method feldman_cousins"; \
	  $(BIN)/python -c "from belle2dark.search import search_names; print(*search_names(), sep='\n')"; } | \
	  xargs -P 2 -L 1 $(BIN)/belle2dark point --json >/dev/null
	@touch $@

$(VENV)/.test: $(VENV)/.core
	@echo "Installing the test extras"
	@$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	@$(PIP) -e '.[test,cluster,dev]'
	@touch $@

install: $(VENV)/.core
	@echo "Ready: $(BIN)/belle2dark --help"

app: $(VENV)/.core
	@$(BIN)/belle2dark app --no-browser --port $(PORT)

lab: $(VENV)/.core
	@cd notebooks && $(abspath $(BIN))/jupyter lab index.ipynb

run: $(VENV)/.core
	@test -n "$(SEARCH)" || { echo "usage: make run SEARCH=name [ARGS='-p name=value ...']"; $(BIN)/belle2dark list; exit 2; }
	@$(BIN)/belle2dark run $(SEARCH) $(ARGS)

test: $(VENV)/.test
	@OMP_WAIT_POLICY=passive NUMBA_NUM_THREADS=2 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/mypy

check: $(VENV)/.core
	@$(BIN)/belle2dark check

templates: $(VENV)/.core
	@$(BIN)/python -m belle2dark.produce $(ARGS)

networks: $(VENV)/.core
	@$(BIN)/python -m belle2dark.training.zprime_invisible $(ARGS)
	@$(BIN)/python -m belle2dark.training.ditau $(ARGS)
	@$(BIN)/python -m belle2dark.training.dimuon $(ARGS)
	@$(BIN)/python -m belle2dark.training.leptophilic $(ARGS)

bench: $(VENV)/.test
	@for file in benchmarks/bench_*.py; do PYTHONPATH=. $(BIN)/python $$file || exit 1; done

lock: $(VENV)/.dev
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --upgrade --no-emit-index-url --no-emit-find-links --no-annotate \
	  --no-header --extra test --extra dev --extra cluster --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find belle2dark tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# `make` alone lists what there is. Everything runs in .venv, which the first call makes (2-3 minutes, once).
BIN   := .venv/bin
READY := .venv/installed
PEERS := .venv/peers
BENCHES := scan conv cnn model preprocess data_loading viewer training resume distributed metrics inference explain

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow-ci notebooks readme docs style slides lecture bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(READY) ## synthetic scans to an explained prediction, in runs/demo (ARGS="--help" lists the options)
	@$(BIN)/brainmt-demo $(ARGS)

test: $(READY) ## everything that must hold before a change lands, without the slow cells
	@$(BIN)/python tools/test.py

test-slow-ci: $(READY) ## the slow cells that must hold as well (flagged slow_ci)
	@$(BIN)/python tools/test.py --slow-ci

notebooks: $(READY) ## export the library, run the notebooks, store their outputs, write README.md (NB="07_model" for one)
	@$(BIN)/python tools/notebooks.py $(NB)

readme: $(READY) ## README.md from nbs/index.ipynb
	@$(BIN)/python tools/docs.py --readme

docs: $(READY) ## the docs site, in _docs, as it is published (open _docs/index.html)
	@$(BIN)/python tools/docs.py

slides: $(READY) ## slides of a notebook, in _slides (NB="04_scan")
	@$(BIN)/python tools/slides.py $(NB)

style: $(READY) ## how the code reads, in numbers (ARGS="--jobs --chapters --root FOLDER")
	@$(BIN)/python tools/style.py $(ARGS)

lecture: $(READY) ## a folder for a room without a network, in _lecture: packages, pages, slides (ARGS="--platforms linux"; some GB)
	@$(BIN)/pip install -q -c constraints.txt jupyterlab
	@$(BIN)/python tools/lecture.py $(ARGS)

bench: $(READY) $(PEERS) ## how fast everything is: ratios measured in one run, with the goals and limits beside them; stored in benchmarks/results (some minutes; BENCHES="scan conv" for some)
	@$(BIN)/python tools/bench.py $(BENCHES)

# mamba.py, which the scan is compared with: no requirement of the project, and kept apart
$(PEERS): $(READY)
	@$(BIN)/pip install -q --no-deps --target $(PEERS) mambapy==1.2.0

clean: ## remove what was built: environment, docs, caches (never runs/)
	rm -rf .venv _docs _proc _slides _lecture build dist *.egg-info nbs/nbdev.yml nbs/sidebar.yml
	find brainmt nbs tools -name __pycache__ -prune -exec rm -rf {} +

# Try each name: a found command may still be a placeholder that does not run, or lack the venv module.
$(READY): tools/install.py settings.ini setup.py constraints.txt
	@for p in python3.13 python3.12 python3.11 python3; do \
	  if $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then exec $$p tools/install.py; fi; \
	done; \
	echo 'Python 3.11 or newer, with its venv module, was not found. Install it (Debian and Ubuntu: apt install python3-venv; macOS: brew install python) and run make again.'; \
	exit 1

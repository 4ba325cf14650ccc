# make: set up, run the suites quick and memory (4 to 9 minutes), write the report.   make test: set up, pass the tests.
# make fptt: the verdicts, figures and page of the paper on FPTT; hours on two cores, an interrupted run continues.
# make check: every fact of every rule, neuron, network and dataset.
# make mutants: plants the faults listed in tests/mutants, one at a time, in a copy; a check or a test must notice each.
# make mutants-tenth: a tenth of those that a check must notice, drawn by the commit.
# make gate: every rule on every neuron at tiny scale, compared with the committed baseline; a few minutes on two cores.
# make lowest: the tests of commands with the lowest versions of dependencies that pyproject.toml allows, on Python 3.10.
# make audit: known vulnerabilities of the installed dependencies; needs a network.
# make attack: damaged files, random commands and kills for MINUTES (10) from a SEED (0); exit code 1 if there is a fault.
# make docs: the site, into build/site; all links are checked.
# make site: the docs, and the report of the committed records of quick and rules, and of submissions, in build/site.
# make figures: redraws the figures of README and docs from the committed records; under two minutes.
# make peers: other libraries as witnesses, then the same work through them and ours, on one and on two threads, and the
# table in docs/performance.md; about half an hour on two idle cores.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: all run test check mutants mutants-tenth gate lowest audit attack docs site figures peers fptt lint types clean

all: run

run: $(READY)
	$(BIN)/python run_all.py quick memory

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --benchmark-disable

check: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/throughtime check

mutants: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants/run.py

mutants-tenth: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/mutants/run.py --tenth

# A failed run is for the comparison to judge, not for make.
gate: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/throughtime run gate --scale tiny --rerun stale || test $$? -eq 1
	$(BIN)/throughtime compare results/baselines/gate-tiny.jsonl results/runs

# A release without a wheel may not build with today's tools: only wheels count. Old libraries may warn of new ones.
lowest: LOWEST := build/lowest/bin/python
lowest:
	$(PYTHON) -m venv --clear build/lowest
	$(LOWEST) -m pip install --quiet uv
	$(LOWEST) -m uv pip compile --quiet --resolution lowest-direct --only-binary :all: --extra cluster --extra nir --extra tune pyproject.toml --output-file build/lowest/requirements.txt
	$(LOWEST) -m uv pip install --quiet --python $(LOWEST) --requirement build/lowest/requirements.txt
	$(LOWEST) -m uv pip install --quiet --python $(LOWEST) pytest pytest-benchmark pytest-xdist hypothesis
	$(LOWEST) -m uv pip install --quiet --python $(LOWEST) --no-deps --editable .
	OMP_NUM_THREADS=1 $(LOWEST) -m pytest --override-ini filterwarnings=default -n auto --maxprocesses 4 --dist loadfile --benchmark-disable tests/commands

audit: DATABASE := https://pypi.org/pypi/pip/25.0/json
audit: $(READY)
	@$(BIN)/python -c 'import requests; requests.get("$(DATABASE)", timeout=30).raise_for_status()' 2>/dev/null || { echo "make audit: nothing was audited: the database of vulnerabilities ($(DATABASE)) does not answer"; exit 2; }
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --skip-editable --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

MINUTES ?= 10
SEED    ?= 0
attack: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/attack.py --minutes $(MINUTES) --seed $(SEED)

docs: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

site: docs
	rm -rf build/site-records
	$(BIN)/throughtime baseline unpack build/site-records --submissions results/submissions
	OMP_NUM_THREADS=1 $(BIN)/throughtime report quick rules --results build/site-records --out build/site/report

peers: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[dev,peers]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/peers/test_peers.py tests/peers/test_activity.py tests/peers/test_command.py
	$(BIN)/throughtime peers --threads 1 --threads 2 --out reports/out/peers --into docs/performance.md

# A figure of the docs has the name under which it is drawn; those without committed records keep their file. The suites are
# those of which README and docs show figures, beside the papers'.
figures: $(READY)
	rm -rf build/figures
	$(BIN)/throughtime baseline unpack build/figures/records
	OMP_NUM_THREADS=1 $(BIN)/throughtime figure quick rules length length-updates length-cost --results build/figures/records --out build/figures/drawn
	OMP_NUM_THREADS=1 $(BIN)/throughtime verdicts --results build/figures/records --out build/figures/papers
	for file in docs/figures/*.png; do find build/figures/drawn build/figures/papers -name $${file##*/} -exec cp {} $$file \; ; done
	$(BIN)/python -m throughtime.reports.rule_rows docs/rules

fptt: $(READY)
	$(BIN)/throughtime reproduce fptt

lint: types
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

# mypy takes no map from packages to folders: links lay the package out as it is installed.
types: $(READY)
	rm -rf build/types && mkdir -p build/types/throughtime
	cd build/types/throughtime && ln -s ../../../bench/* $(addprefix ../../../,algorithms datasets networks neurons numerics reports) .
	$(BIN)/mypy build/types/throughtime run_all.py docs/examples

# Python compiles what is imported, a third of what is installed; to compile all takes a minute.
$(READY): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "$(PYTHON) is older than 3.10: make PYTHON=python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make environments: on Debian and Ubuntu, apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	@touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info

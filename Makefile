# The few habits. Each target sets up what it needs: Python 3.11 to 3.13 and git are enough.
CORES ?= $(shell OMP_NUM_THREADS= nproc 2>/dev/null || sysctl -n hw.ncpu)
PYTHON ?= python3
# As it is outside, where `python3` is not the environment's own.
OUTSIDE := $(PATH)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Or uv would install into the environment that is active, and take out of it what is not listed here.
unexport VIRTUAL_ENV CONDA_PREFIX

# Where there is no home folder to keep caches in, pip's, uv's and matplotlib's are kept here.
ifneq ($(shell f="$${XDG_CACHE_HOME:-$${HOME:-/dev/null}/.cache}"; mkdir -p "$$f" 2>/dev/null && test -w "$$f" && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake/cache
export MPLCONFIGDIR := $(XDG_CACHE_HOME)
endif

.PHONY: demo spot why test test-slurm lint format schema contract requirements clean

demo: .venv/ready  ## the demo datasets: from video to table and pictures
	snakemake --cores $(CORES)

# As it was written: a $ in a name is no variable of make's.
override VIDEO := $(value VIDEO)
export VIDEO
spot: .venv/ready  ## spot in a video of one's own: make spot VIDEO=path
	@test -n "$$VIDEO" || { echo 'make spot VIDEO=path: a video, a folder of videos or of frames'; exit 2; }
	MESPOT_VIDEO="$$VIDEO" snakemake --cores $(CORES)

why: .venv/ready  ## what would run and why; ARGS="--configfile mine.yaml" as given to snakemake
	@mespot why -- $(ARGS)

test: lint  ## all tests
	pytest -n $(CORES) --dist loadfile

test-slurm: .venv/ready  ## the workflow on a Slurm of one node that is started here, as root
	pytest tests/slurm -rs

lint: .venv/ready
	ruff check
	ruff format --check
	snakefmt --check Snakefile workflow
	snakemake --lint

format: .venv/ready
	ruff check --fix
	ruff format
	snakefmt Snakefile workflow

schema: .venv/ready  ## the config's JSON schema, from its models
	mespot schema > workflow/schemas/config.schema.json

contract: .venv/ready  ## docs/operation.md's table of what runs again, from dry-runs
	python tests/contract.py

requirements: .venv/ready  ## the exact list, again, from pyproject.toml
	uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	  --generate-hashes --override envs/overrides.txt --excludes envs/excludes.txt --extra dev \
	  pyproject.toml --output-file envs/requirements.txt

# Which Python does.
RIGHT := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
# An environment holds its own path and needs its Python: one whose install did not end, that was moved
# with its checkout, or that another Python made, is made again.
FITS := $(shell test -e .venv/ready && grep -qF " $$(cd .venv && pwd -P)" .venv/pyvenv.cfg \
  && .venv/bin/python -c '$(RIGHT)' 2>/dev/null && echo yes)
ifneq ($(FITS),yes)
.PHONY: .venv/ready
endif

# Bytecode is compiled here: a job is mostly imports where Python may not write its cache (containers, clusters).
.venv/ready: envs/requirements.txt pyproject.toml
	@test -w . || { echo "$(CURDIR) cannot be written; clone mespot into a folder of your own" >&2; exit 2; }
ifneq ($(FITS),yes)
	@PATH="$(OUTSIDE)" $(PYTHON) -c '$(RIGHT)' || { echo "mespot needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is" \
	  "$$(PATH="$(OUTSIDE)" $(PYTHON) -V 2>&1): make PYTHON=python3.12, say" >&2; exit 2; }
	@PATH="$(OUTSIDE)" $(PYTHON) -m venv --clear .venv
endif
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip sync --python .venv/bin/python --quiet --compile-bytecode envs/requirements.txt
	.venv/bin/uv pip install --python .venv/bin/python --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:  ## all results (not the environment)
	find results -mindepth 1 -not -name README.md -delete
	rm -rf .snakemake

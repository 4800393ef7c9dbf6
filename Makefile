# The few habits. Each target sets up what it needs: Python 3.11 to 3.13 and git are enough.
CORES ?= $(shell OMP_NUM_THREADS= nproc 2>/dev/null || sysctl -n hw.ncpu)
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: demo spot test lint format schema requirements clean

demo: .venv/ready  ## the demo datasets: from video to table and pictures
	snakemake --cores $(CORES)

# As it was written: a $ in a name is no variable of make's.
override VIDEO := $(value VIDEO)
export VIDEO
spot: .venv/ready  ## spot in a video of one's own: make spot VIDEO=path
	@test -n "$$VIDEO" || { echo 'make spot VIDEO=path: a video, a folder of videos or of frames'; exit 2; }
	MESPOT_VIDEO="$$VIDEO" snakemake --cores $(CORES)

test: lint  ## all tests
	pytest -n $(CORES) --dist loadfile

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

requirements: .venv/ready  ## the exact list, again, from pyproject.toml
	uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	  --generate-hashes --override envs/overrides.txt --excludes envs/excludes.txt --extra dev \
	  pyproject.toml --output-file envs/requirements.txt

# Bytecode is compiled here: a job is mostly imports where Python may not write its cache (containers, clusters).
.venv/ready: envs/requirements.txt pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip sync --quiet --compile-bytecode envs/requirements.txt
	.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:  ## all results (not the environment)
	find results -mindepth 1 -not -name README.md -delete
	rm -rf .snakemake

# `make help` lists the targets. Every target first makes what it needs, and is quick if nothing has changed.

PYTHON ?= python3
VENV := .venv
# Without build isolation: a package that is built here is built with the locked setuptools, and nothing else is fetched.
INSTALL = $(VENV)/bin/uv pip install -q --python $(VENV)/bin/python --no-build-isolation
COMPILE = $(VENV)/bin/uv pip compile -q --python $(VENV)/bin/python --no-annotate --no-header --no-emit-index-url \
	--no-emit-find-links
MAKEFLAGS += --jobs=2  # compile the extension while the requirements are unpacked
ifneq ($(filter clean,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif
unexport PYTHONDONTWRITEBYTECODE  # otherwise every stage would recompile all its imports
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# uv ignores pip's settings for where to find packages.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

.PHONY: help env repro demo study trials paper paper-quick compare reset verify release test coverage test-clang sanitize sanitize-threads bench \
	gpu-check lint lock clean
.DEFAULT_GOAL := help

help:          ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

env: $(VENV)/.requirements $(VENV)/.extension   ## build the environment: .venv, locked requirements, the extension

# With CLUSTER, runs are made in clones of the last commit: by the workers of Dask's scheduler at that address, or with
# CLUSTER=local on this machine (docs/cluster.md).
repro: env     ## run the whole default experiment, from raw data to report/index.html (JOBS=1: one run at a time)
	python -m pipeline.repro $(if $(JOBS),--jobs $(JOBS)) $(if $(CLUSTER),--cluster $(CLUSTER))

demo: env      ## train the AAE for two epochs and write its report, in about a minute; changes only build/demo
	python -m pipeline.demo

SEEDS ?= 5
study: env     ## run the experiment with five seeds; trains only missing runs (SEEDS=100 CLUSTER=tcp://host:8786)
	$(if $(CLUSTER),python -m pipeline.repro --cluster $(CLUSTER) --seeds $(SEEDS) $(if $(JOBS),--jobs $(JOBS)),\
		dvc exp run -S "seeds=[$$(python -c 'print(*range($(SEEDS)), sep=",")')]")

trials: env    ## run the trials of docs/recipe.md as DVC experiments and write docs/trials.csv; takes an hour
	python -m pipeline.trials

paper: env     ## run the experiments of the paper (paper/) and write paper/results.md; takes hours (JOBS=1)
	python -m paper.repro $(if $(JOBS),--jobs $(JOBS))

paper-quick: env   ## run each of them with one seed and two epochs; changes only build/paper-quick
	python -m paper.quick

compare: env   ## print the scores of the last commit, the working tree and all experiments (COMMITS=5: five commits)
	@python -m pipeline.compare $(if $(COMMITS),--commits $(COMMITS))

reset: env     ## restore params.yaml, dvc.lock and all results of the last commit; keeps other files and experiments
	git checkout HEAD -- params.yaml dvc.lock results
	python -m pipeline.leftovers
	dvc checkout --force --allow-missing

verify: env    ## compare all files and DVC's cache with dvc.lock, by contents; tells what is damaged and how to restore it
	@python -m pipeline.verify

release: env   ## write dist/aae-weights-<commit>.tar.gz: the last snapshots, parameters, scores and checksums
	python -m pipeline.release

# loadfile: one process runs all tests of a file, in their order, on which some files depend.
test: env      ## run the test suite
	pytest -n auto --dist loadfile

coverage: env  ## run the test suite and measure its coverage of aae/, paper/ and pipeline/; fails below 90 %
	pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered --cov-fail-under=90

sanitize: $(VENV)/.requirements   ## test the native code under AddressSanitizer and UBSan (g++); takes minutes
	AAE_SANITIZE=address AAE_CUDA=0 python setup.py -q build_ext --build-lib build/sanitize --build-temp build/sanitize
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$(CURDIR)/build/sanitize" \
		pytest -x --capture=sys -o pythonpath="build/sanitize ." tests/aae/test_ops*.py tests/aae/test_backprop_cpu.py \
		tests/aae/test_priors.py tests/aae/test_training.py tests/csrc \
		--ignore=tests/csrc/test_cuda_build.py --ignore=tests/csrc/test_cuda_ptx.py

# PyTorch uses one thread here: the sanitizer sees only a part of what its threads do, and would report false races.
sanitize-threads: $(VENV)/.requirements   ## test the native code's threads under ThreadSanitizer (g++)
	AAE_SANITIZE=thread AAE_CUDA=0 python setup.py -q build_ext \
		--build-lib build/sanitize-threads --build-temp build/sanitize-threads
	LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" OMP_NUM_THREADS=1 \
		TSAN_OPTIONS=halt_on_error=1:die_after_fork=0:suppressions=$(CURDIR)/tests/csrc/tsan.supp \
		PYTHONPATH="$(CURDIR)/build/sanitize-threads" \
		pytest -x --capture=sys -o pythonpath="build/sanitize-threads ." \
		tests/csrc/test_threads.py tests/csrc/test_concurrency.py tests/aae/test_backprop_cpu.py

test-clang: $(VENV)/.requirements   ## check the bits of samples and trainings with an extension built by clang
	CC=clang CXX=clang++ AAE_CUDA=0 python setup.py -q build_ext --build-lib build/clang --build-temp build/clang
	cd build/clang && python -c 'import aae_native; assert aae_native.build_info()["compiler"].startswith("clang")'
	PYTHONPATH="$(CURDIR)/build/clang" pytest -o pythonpath="build/clang ." tests/csrc/test_contract.py

bench: env     ## run the benchmarks and write docs/benchmarks.md
	pytest tests/benchmarks -s --benchmark-only --benchmark-group-by=group --benchmark-columns=min,median,rounds \
		--benchmark-json=.benchmarks/last.json
	python tests/benchmarks/table.py < .benchmarks/last.json > .benchmarks/table.md
	mv .benchmarks/table.md docs/benchmarks.md

gpu-check:     ## on a machine with a GPU: run its tests, trainings and benchmarks and write docs/gpu.md; needs no DVC
	$(PYTHON) tests/benchmarks/gpu_check.py

lint: env      ## check style, types and spelling: ruff, clang-format, codespell, mypy
	ruff check .
	ruff format --check .
	find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu' | xargs clang-format --dry-run --Werror
	codespell
	mypy

# The lock holds all systems: PyPI's files, and among them PyTorch's build for CUDA, whose libraries are in a file of their
# own. The hashes of PyTorch's CPU build come from PyTorch's index, and change only with its version.
lock: $(VENV)/.build-requirements   ## regenerate requirements*.txt, with hashes, from pyproject.toml
	mkdir -p build
	env -u UV_FIND_LINKS -u UV_TORCH_BACKEND $(COMPILE) --generate-hashes --universal --python-version 3.11 --all-extras \
		--upgrade -o build/lock.txt pyproject.toml
	awk '/^[a-z]/ { to = /sys_platform == .win32/ ? "/dev/null" : /^(cuda|nvidia|triton)/ ? \
		"requirements-cuda.txt" : "requirements.txt" } { print > to }' build/lock.txt
	torch=$$(grep -o '^torch==[0-9.]*' requirements.txt); grep -qF "$$torch+cpu " requirements-cpu.txt || \
		echo "$$torch" | $(COMPILE) --generate-hashes --no-deps --torch-backend cpu -o requirements-cpu.txt -

clean:         ## remove the environment and build products; keeps data, results and cache
	rm -rf $(VENV) build dist *.egg-info *.so

# An environment works only in the folder in which it was made. If PYTHON is given, it must be the one that made it.
MADE_IN := $(shell sed -n 's/^command = .* //p' $(VENV)/pyvenv.cfg 2>/dev/null)
MADE_WITH := $(shell sed -n 's/^executable = //p' $(VENV)/pyvenv.cfg 2>/dev/null)
ifneq ($(and $(MADE_WITH),$(filter command environment,$(origin PYTHON))),)
WANTED := $(shell $(PYTHON) -c 'import os, sys; print(os.path.realpath(sys._base_executable))')
endif
ifneq ($(MADE_IN),)
ifneq ($(MADE_IN) $(or $(WANTED),$(MADE_WITH)),$(CURDIR)/$(VENV) $(MADE_WITH))
ANOTHER_VENV := another-venv
endif
endif
.PHONY: another-venv
# The Python that is checked: that of .venv, or the one that will create .venv.
CHECK = $(or $(if $(ANOTHER_VENV),,$(wildcard $(VENV)/bin/python)),$(PYTHON)) -m pipeline.toolchain

another-venv:
	@echo "$(VENV) was made in $(MADE_IN) with $(MADE_WITH); it is made anew"

$(VENV)/.build-requirements: requirements.txt pipeline/environment.pth $(ANOTHER_VENV)
	@$(CHECK)
	$(if $(ANOTHER_VENV),,test -x $(VENV)/bin/pip || )$(PYTHON) -m venv --clear $(VENV)
	cp pipeline/environment.pth "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	awk '/^[a-z]/ { wanted = /^(pybind11|setuptools|uv)==/ } wanted' requirements.txt > $(VENV)/first.txt
	$(VENV)/bin/pip install -q --disable-pip-version-check --only-binary :all: --require-hashes -r $(VENV)/first.txt
	touch $@

# Only files with the locked hashes are installed. PyTorch comes from PyPI or, as its CPU build, from another index
# (UV_TORCH_BACKEND=cpu) or a folder of wheels. uv looks for the CPU build's hashes under that build's own version.
$(VENV)/.requirements: $(VENV)/.build-requirements requirements-cpu.txt requirements-cuda.txt
	case "$$(grep -o '^torch==[0-9.]*' requirements.txt | $(COMPILE) --no-deps -)" in \
		*+cpu*) cpu="--overrides requirements-cpu.txt";; esac; \
	$(INSTALL) --require-hashes -r requirements.txt -c requirements-cuda.txt $$cpu
	touch $@

# If AAE_CUDA, nvcc or the extension's file has changed since the last build, the extension is rebuilt.
CUDA := AAE_CUDA=$(AAE_CUDA) CUDA_HOME=$(CUDA_HOME) nvcc=$(shell command -v nvcc 2>/dev/null)
BYTES = cat aae_native*.so 2>/dev/null | wc -c | tr -d ' '
BUILT_WITH := $(shell cat $(VENV)/.extension 2>/dev/null)
.PHONY: another-build

$(VENV)/.extension: $(VENV)/.build-requirements setup.py pyproject.toml $(shell find csrc -type f) \
		$(if $(subst $(CUDA) bytes=$(shell $(BYTES)),,$(BUILT_WITH)),another-build)
	@$(CHECK)
	$(INSTALL) --no-deps -e .
	echo "$(CUDA) bytes=$$($(BYTES))" > $@

# `make help` lists the targets. Every target makes what it needs first and is quick when nothing changed.

PYTHON ?= python3
VENV := .venv
INSTALL = $(VENV)/bin/uv pip install -q --python $(VENV)/bin/python
MAKEFLAGS += --jobs=2  # the extension is compiled while the requirements are unpacked
ifneq ($(filter clean,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif
unexport PYTHONDONTWRITEBYTECODE  # else every stage would compile all that it imports anew
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# uv takes no notice of where pip is told to look for packages.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

.PHONY: help env repro demo study compare reset release test test-clang sanitize sanitize-threads bench gpu-check \
	lint lock clean
.DEFAULT_GOAL := help

help:          ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

env: $(VENV)/.requirements $(VENV)/.extension   ## the environment: .venv, locked requirements, the extension

repro: env     ## the whole default experiment, from the raw data to report/index.html (JOBS=1: one run at a time)
	python -m pipeline.repro $(if $(JOBS),--jobs $(JOBS))

demo: env      ## in about a minute: two epochs of the AAE in build/demo, and their report; changes nothing else
	python -m pipeline.demo

study: env     ## the experiment over five seeds; trains only the runs that are missing
	dvc exp run -S 'seeds=[0,1,2,3,4]'

compare: env   ## the scores of the last commit, the working tree and all experiments (COMMITS=5: of more commits)
	@python -m pipeline.compare $(if $(COMMITS),--commits $(COMMITS))

reset: env     ## params.yaml, dvc.lock and all results as in the last commit; other files and experiments stay
	git checkout HEAD -- params.yaml dvc.lock results
	python -m pipeline.leftovers
	dvc checkout --force --allow-missing

release: env   ## dist/aae-weights-<commit>.tar.gz: the last snapshots, parameters, scores and checksums
	python -m pipeline.release

test: env      ## the test suite
	pytest -n auto --dist loadgroup

sanitize: $(VENV)/.requirements   ## the tests of the native code under AddressSanitizer and UBSan (g++); minutes
	AAE_SANITIZE=address AAE_CUDA=0 python setup.py -q build_ext --build-lib build/sanitize --build-temp build/sanitize
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$(CURDIR)/build/sanitize" \
		pytest -x --capture=sys -o pythonpath="build/sanitize ." tests/aae/test_ops*.py tests/aae/test_backprop_cpu.py \
		tests/aae/test_priors.py tests/aae/test_training.py tests/csrc \
		--ignore=tests/csrc/test_cuda_build.py --ignore=tests/csrc/test_cuda_ptx.py

# PyTorch's threads stay out: the sanitizer sees only a part of what they do, and takes that for races.
sanitize-threads: $(VENV)/.requirements   ## the tests of the native code's threads under ThreadSanitizer (g++)
	AAE_SANITIZE=thread AAE_CUDA=0 python setup.py -q build_ext \
		--build-lib build/sanitize-threads --build-temp build/sanitize-threads
	LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" OMP_NUM_THREADS=1 \
		TSAN_OPTIONS=halt_on_error=1:die_after_fork=0 PYTHONPATH="$(CURDIR)/build/sanitize-threads" \
		pytest -x --capture=sys -o pythonpath="build/sanitize-threads ." \
		tests/csrc/test_threads.py tests/aae/test_backprop_cpu.py

test-clang: $(VENV)/.requirements   ## the bits of samples and trainings from an extension that clang built
	CC=clang CXX=clang++ AAE_CUDA=0 python setup.py -q build_ext --build-lib build/clang --build-temp build/clang
	cd build/clang && python -c 'import aae_native; assert aae_native.build_info()["compiler"].startswith("clang")'
	PYTHONPATH="$(CURDIR)/build/clang" pytest -o pythonpath="build/clang ." tests/csrc/test_contract.py

bench: env     ## the benchmarks, and docs/benchmarks.md from what they measured
	pytest tests/benchmarks -s --benchmark-only --benchmark-group-by=group --benchmark-columns=min,median,rounds \
		--benchmark-json=.benchmarks/last.json
	python tests/benchmarks/table.py < .benchmarks/last.json > .benchmarks/table.md
	mv .benchmarks/table.md docs/benchmarks.md

gpu-check:     ## on a machine with a GPU: its tests, trainings and benchmarks, and docs/gpu.md; needs no DVC
	$(PYTHON) tests/benchmarks/gpu_check.py

lint: env      ## style, imports and common mistakes
	ruff check .
	ruff format --check .

lock: $(VENV)/.build-requirements   ## write requirements.txt anew from pyproject.toml
	$(VENV)/bin/pip install -q pip-tools
	pip-compile -q --extra dev --strip-extras --allow-unsafe --upgrade --no-emit-index-url --no-emit-find-links \
		--no-annotate --no-header -o requirements.txt pyproject.toml
	sed -i -E 's/^(torch==[0-9.]+)\+.*/\1/' requirements.txt

clean:         ## remove the environment and build products; data, results and cache stay
	rm -rf $(VENV) build dist *.egg-info *.so

# An environment works only in the folder that it was made in. Where PYTHON is given, it must be the one that made it.
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
# The Python that is checked: that of .venv, or of the one to be made.
CHECK = $(or $(if $(ANOTHER_VENV),,$(wildcard $(VENV)/bin/python)),$(PYTHON)) -m pipeline.toolchain

another-venv:
	@echo "$(VENV) was made in $(MADE_IN) with $(MADE_WITH); it is made anew"

$(VENV)/.build-requirements: requirements.txt pipeline/environment.pth $(ANOTHER_VENV)
	@$(CHECK)
	$(if $(ANOTHER_VENV),,test -x $(VENV)/bin/pip || )$(PYTHON) -m venv --clear $(VENV)
	cp pipeline/environment.pth "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(VENV)/bin/pip install -q --disable-pip-version-check $$(grep -E '^(pybind11|setuptools|uv)==' requirements.txt)
	touch $@

$(VENV)/.requirements: $(VENV)/.build-requirements
	$(INSTALL) -r requirements.txt
	touch $@

# With another AAE_CUDA or another nvcc than last time, the extension is built anew.
CUDA := AAE_CUDA=$(AAE_CUDA) CUDA_HOME=$(CUDA_HOME) nvcc=$(shell command -v nvcc 2>/dev/null)
BUILT_WITH := $(shell cat $(VENV)/.extension 2>/dev/null)
.PHONY: another-cuda

$(VENV)/.extension: $(VENV)/.build-requirements setup.py pyproject.toml $(shell find csrc -type f) \
		$(if $(subst $(CUDA),,$(BUILT_WITH)),another-cuda)
	@$(CHECK)
	$(INSTALL) --no-build-isolation --no-deps -e .
	echo '$(CUDA)' > $@

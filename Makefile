# `make help` lists the targets. Each may be run again at any time: it does only what is left to do,
# says what that is and how far it is, and the second time needs no network.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
JOBS := $(shell nproc)
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tipoff
export TIPOFF_DATA ?= $(abspath ../shared)

LOCK := requirements/dev.lock
LOCK_ID = $(shell { cat $(LOCK); $(PYTHON) -c 'import sysconfig as s; print(s.get_platform(), s.get_python_version())'; } | sha256sum | cut -c1-16)
WHEELS = $(CACHE)/wheels/$(LOCK_ID)

# Debian's package of the C++ test framework; no other registry has it.
DOCTEST_VERSION := 2.4.9~ds-1
DOCTEST_SHA256 := b1b43598b8e7f347af1c00f2263f0a19af4c632c808a6fc78a0617eb494c2c94
DOCTEST := $(CACHE)/doctest/$(DOCTEST_SHA256)
DOCTEST_INCLUDE := $(DOCTEST)/usr/include

WHEEL_OUT ?= dist

# What the tests' RTSP cameras are made of.
RTSP_PACKAGES := python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly

# Debian's clang-14 with libclang-rt-14-dev, or another clang with libFuzzer.
FUZZ_CXX ?= clang++-14
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 7200
SOAK_TEST := tests/robustness/test_soak.py
SOAK_LOG := build/soak.log
FUZZERS ?= observe restore ball

CPP = $(wildcard accel/core/*.cpp accel/core/*.hpp accel/bindings/*.cpp accel/bindings/*.hpp tests/unit/accel/core/*.cpp tests/unit/accel/core/*.hpp tests/fuzz/*.cpp tests/fuzz/*.hpp)
STUBTESTED = $(if $(wildcard accel/_core.pyi),accel._core) $(if $(wildcard accel/decode.pyi),accel.decode)

# Where a target is no file.
.PHONY: where-wheels help demo test lint bench clean env native stubs released lock wheel wheels doctest models cpp cpp-sanitised cpp-tsan fuzz pytest rtsp robustness soak

help:
	@echo "make demo    real camera videos into 3D tracks, through the real Triton, into out/demo/"
	@echo "make test    every check: lint, C++ tests plain and sanitised, contract, unit, integration"
	@echo "make lint    ruff, mypy, stubtest, clang-format, buf"
	@echo "make fuzz    libFuzzer on the core, FUZZ_SECONDS=$(FUZZ_SECONDS) for each of $(FUZZERS); needs $(FUZZ_CXX)"
	@echo "make bench   a small run of every bench"
	@echo "make robustness  kills, spoilt journals, stalled subscribers, bad cameras: all of ROBUSTNESS.md but the soak"
	@echo "make soak    a node while a camera comes and goes, SOAK_SECONDS=$(SOAK_SECONDS)"
	@echo "make env     the application's environment in .venv, from pinned and hashed packages"
	@echo "make native  the C++ core, the Cython module and the stubs of protos/, in place"
	@echo "make stubs   only the stubs of protos/"
	@echo "make released  the contract that later ones are compared with, at a release"
	@echo "make models  the server, the models' environment and the pose models, in the user's cache"
	@echo "make wheel   the wheel, in dist/"
	@echo "make lock    resolve pyproject.toml anew into $(LOCK)"
	@echo "make clean   everything that the targets made here; the user's cache stays"
	@echo "Downloads are kept in $(CACHE)."

# ---- the environment ----------------------------------------------------------------------------

env: .venv/.ready

.venv/.ready: pyproject.toml setup.py $(LOCK)
	@$(MAKE) wheels
	@echo "[2/3] env: installing $$(grep -c '==' $(LOCK)) packages into .venv"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@(cd $(WHEELS) && sha256sum --check --quiet SHA256SUMS)
	@$(BIN)/pip -qq install --no-deps --no-index --find-links $(WHEELS) -r $(WHEELS)/names.txt
	@echo "[3/3] env: tipoff itself, in place"
	@TIPOFF_NATIVE=later $(BIN)/pip -qq install --no-deps --no-index --no-build-isolation -e .
	@touch $@

# Wheels, and not pip's own cache, because pip asks the index even for what it has cached. What comes
# as source is built here, with the setuptools of the same lock: isolated, it would be any setuptools.
wheels:
	@if [ -e $(WHEELS)/SHA256SUMS ]; then echo "[1/3] env: the packages are in $(WHEELS)"; exit 0; fi
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 13), "error: Tipoff needs Python 3.11 or 3.12, and this is " + sys.version.split()[0] + "; name one by `make PYTHON=...`"'
	@[ -e $(WHEELS)/SHA256SUMS ] || { \
	total=$$(grep -c '==' $(LOCK)); part=$(WHEELS).part; \
	echo "[1/3] env: fetching $$total packages into $(WHEELS), once"; \
	rm -rf $$part; mkdir -p $$part; \
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv; \
	awk '/^[a-z]/ { on = /^(packaging|setuptools|wheel)==/ } on' $(LOCK) > $$part/build.txt; \
	{ $(BIN)/pip -q install --no-deps --require-hashes -r $$part/build.txt 2>$$part/pip.log \
	&& $(BIN)/pip wheel --no-build-isolation --no-deps --require-hashes --progress-bar off -r $(LOCK) -w $$part 2>>$$part/pip.log; } \
	| awk -v total=$$total '/^(Collecting|Processing) / { n++; if (n % 10 == 0 || n == total) print "      " n "/" total " " $$2; fflush() }' \
	|| { cat $$part/pip.log >&2; exit 1; }; \
	sed -n 's/^\([A-Za-z0-9_.-]*==[^ ;]*\).*/\1/p' $(LOCK) > $$part/names.txt; \
	(cd $$part && rm pip.log build.txt && sha256sum *.whl names.txt > SHA256SUMS); \
	rm -rf $(WHEELS); mv $$part $(WHEELS); }

# For the test that installs the wheel as a user without a network would.
where-wheels:
	@echo "$(WHEELS)"

# From the public index alone: what a machine has beside it, the next one has not. Pins that still
# fit stay; remove $(LOCK) first to take the newest of all.
lock:
	@echo "[1/1] lock: resolving pyproject.toml into $(LOCK)"
	@[ -x build/lock/bin/pip-compile ] || { $(PYTHON) -m venv build/lock && build/lock/bin/pip -qq install pip-tools==7.6.2; }
	@[ ! -e $(LOCK) ] || cp $(LOCK) build/lock/dev.lock
	@env -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null build/lock/bin/pip-compile -q --extra dev --extra bench --extra test --generate-hashes --allow-unsafe \
	--strip-extras --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o build/lock/dev.lock pyproject.toml
	@{ echo '# Everything in .venv, by sha256. Written by `make lock` out of pyproject.toml.'; awk '/^# (WARNING: pip install|Consider using a hash)/ { next } /^[a-z]/ { own = /^tipoff @/ } !own' build/lock/dev.lock; } > $(LOCK)

# What users hold from this release on: the contract tests compare later ones with it.
released: env
	@$(BIN)/buf build --exclude-source-info -o tests/contract/released.binpb

stubs: env
	@$(BIN)/python setup.py -q build_stubs --build-lib . >/dev/null 2>&1 || $(BIN)/python setup.py build_stubs --build-lib .

native: stubs
	@$(BIN)/python setup.py -q build_ext --inplace

wheel: env
	@echo "[1/1] wheel: building into $(WHEEL_OUT)/"
	@$(BIN)/pip -q wheel --no-deps --no-index --no-build-isolation -w $(WHEEL_OUT) .

# ---- the models ---------------------------------------------------------------------------------

models: native
	@echo "[1/2] models: tritonserver and the models' environment"
	@$(BIN)/tipoff triton install
	@echo "[2/2] models: the pose models"
	@$(BIN)/tipoff models pull

demo: models
	@$(BIN)/python -m edge_node.demo

# ---- the checks ---------------------------------------------------------------------------------

# The soak mostly waits: it runs beside the C++ builds, which leave it what it needs.
test:
	@echo "[1/8] test: the environment and what is native"
	@$(MAKE) native
	@echo "[2/8] test: lint"
	@$(MAKE) lint
	@mkdir -p build; $(BIN)/pytest -s $(SOAK_TEST) >$(SOAK_LOG) 2>&1 & soak=$$!; \
	trap 'kill -INT $$soak 2>/dev/null && wait $$soak || true' EXIT; \
	echo "[3/8] test: C++, and beside it a soak of three minutes"; \
	nice $(MAKE) cpp; \
	echo "[4/8] test: C++ under AddressSanitizer and UndefinedBehaviorSanitizer"; \
	nice $(MAKE) cpp-sanitised; \
	echo "[5/8] test: C++ under ThreadSanitizer"; \
	nice $(MAKE) cpp-tsan; \
	echo "[6/8] test: the soak's end"; \
	failed=0; wait $$soak || failed=1; trap - EXIT; \
	tail -n $$((failed ? 60 : 3)) $(SOAK_LOG); exit $$failed
	@echo "[7/8] test: the server and the models"
	@$(MAKE) models
	@echo "[8/8] test: contract, unit and integration tests, the wheel among them"
	@$(MAKE) pytest SOAKED=1

# One after the other: what keeps times is among them, and a machine may have two cores.
pytest: rtsp
	@$(BIN)/pytest --durations=10 $(if $(SOAKED),--ignore $(SOAK_TEST)) tests

# The cameras of the tests: Debian's RTSP server, under Debian's own Python.
rtsp:
	@missing=$$(for p in $(RTSP_PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	[ -z "$$missing" ] || { echo "      installing $$(echo $$missing), once"; as=; [ $$(id -u) = 0 ] || as=sudo; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ $$as apt-get -qq install --no-install-recommends -y $$missing >/dev/null 2>&1 \
	|| { $$as apt-get -qq update && $$as apt-get -qq install --no-install-recommends -y $$missing >/dev/null; }; } \
	|| { echo "error: the tests of live cameras need Debian's $$(echo $$missing)" >&2; exit 1; }; }

lint: native
	@echo "[1/7] lint: ruff check"
	@$(BIN)/ruff check -q .
	@echo "[2/7] lint: ruff format"
	@$(BIN)/ruff format -q --check . || { echo "error: not formatted; run $(BIN)/ruff format ." >&2; exit 1; }
	@echo "[3/7] lint: mypy --strict"
	@$(BIN)/mypy --no-error-summary
	@echo "[4/7] lint: stubtest $(STUBTESTED)"
	@[ -z "$(strip $(STUBTESTED))" ] || $(BIN)/stubtest --concise --allowlist requirements/stubtest-allowlist.txt --ignore-unused-allowlist $(STUBTESTED)
	@echo "[5/7] lint: clang-format"
	@[ -z "$(CPP)" ] || $(BIN)/clang-format --dry-run -Werror $(CPP)
	@echo "[6/7] lint: buf lint"
	@$(BIN)/buf lint
	@echo "[7/7] lint: buf format"
	@$(BIN)/buf format -d --exit-code

# The tests' core is the one that the Python module holds, and is not built again.
cpp: native doctest
	@core=$$($(BIN)/python -c 'import sys, sysconfig as s; print(f"build/temp.{s.get_platform()}-{sys.implementation.cache_tag}/cmake/libtipoff_core.a")'); \
	$(BIN)/cmake -S . -B build/cmake -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DDOCTEST_INCLUDE=$(DOCTEST_INCLUDE) \
	-DTIPOFF_CORE_ARCHIVE=$(CURDIR)/$$core >/dev/null
	@$(BIN)/cmake --build build/cmake -j $(JOBS)
	@$(BIN)/ctest --test-dir build/cmake --output-on-failure

cpp-sanitised: env doctest
	@$(BIN)/cmake -S . -B build/cmake-sanitised -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DDOCTEST_INCLUDE=$(DOCTEST_INCLUDE) \
	-DCMAKE_BUILD_TYPE=RelWithDebInfo -DTIPOFF_SANITIZE=address,undefined >/dev/null
	@$(BIN)/cmake --build build/cmake-sanitised -j $(JOBS)
	@$(BIN)/ctest --test-dir build/cmake-sanitised --output-on-failure

cpp-tsan: env doctest
	@$(BIN)/cmake -S . -B build/cmake-tsan -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DDOCTEST_INCLUDE=$(DOCTEST_INCLUDE) \
	-DCMAKE_BUILD_TYPE=RelWithDebInfo -DTIPOFF_SANITIZE=thread >/dev/null
	@$(BIN)/cmake --build build/cmake-tsan -j $(JOBS) --target tipoff_tests
	@build/cmake-tsan/tipoff_tests --test-case='*thread*'

# What a fuzzer finds is left in build/fuzz; once mended, its smallest form belongs into
# tests/fuzz/corpus, which the tests run again. New inputs that only reach further stay in build/.
fuzz: env
	@command -v $(FUZZ_CXX) >/dev/null || { echo "error: $(FUZZ_CXX) is not here; apt-get install clang-14 libclang-rt-14-dev, or name another clang by \`make fuzz FUZZ_CXX=...\`" >&2; exit 1; }
	@$(BIN)/cmake -S . -B build/fuzz -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DCMAKE_CXX_COMPILER=$(FUZZ_CXX) \
	-DCMAKE_BUILD_TYPE=RelWithDebInfo -DTIPOFF_SANITIZE=address,undefined -DTIPOFF_LIBFUZZER=ON >/dev/null
	@$(BIN)/cmake --build build/fuzz -j $(JOBS)
	@n=0; for name in $(FUZZERS); do n=$$((n + 1)); \
	echo "[$$n/$(words $(FUZZERS))] fuzz: $$name for $(FUZZ_SECONDS) s"; mkdir -p build/fuzz/corpus-$$name; \
	build/fuzz/fuzz_$$name -max_len=512 -timeout=20 -max_total_time=$(FUZZ_SECONDS) -verbosity=1 -print_final_stats=1 \
	-artifact_prefix=build/fuzz/$$name- build/fuzz/corpus-$$name tests/fuzz/corpus/$$name 2>build/fuzz/$$name.log \
	|| { tail -n 40 build/fuzz/$$name.log >&2; exit 1; }; \
	grep -E 'DONE|^Done' build/fuzz/$$name.log; done

doctest: $(DOCTEST_INCLUDE)/doctest/doctest.h

$(DOCTEST_INCLUDE)/doctest/doctest.h:
	@echo "      doctest $(DOCTEST_VERSION) into $(DOCTEST), once"
	@mkdir -p $(DOCTEST)
	@cd $(DOCTEST) && { apt-get -qq download doctest-dev=$(DOCTEST_VERSION) 2>/dev/null \
	|| { apt-get -qq update && apt-get -qq download doctest-dev=$(DOCTEST_VERSION); }; } \
	|| { echo "error: Debian's package doctest-dev $(DOCTEST_VERSION) is not to be had here" >&2; exit 1; }
	@cd $(DOCTEST) && echo "$(DOCTEST_SHA256)  $$(ls doctest-dev_*.deb)" | sha256sum --check --quiet
	@cd $(DOCTEST) && dpkg -x doctest-dev_*.deb .
	@touch $@

# ---- the rest -----------------------------------------------------------------------------------

# A target that so small a run misses (exit code 1) is shown and does not end the rest.
bench: models
	@echo "[1/13] bench: the core on a simulated court"
	@$(BIN)/python -m bench suite=core workload=standard suite.frames=240 suite.timed_frames=100 suite.repetitions=3 suite.worst_frames=1000
	@echo "[2/13] bench: whether the ellipsoids hold what they promise"
	@$(BIN)/python -m bench suite=uncertainty suite.frames=240 || [ $$? = 1 ]
	@echo "[3/13] bench: the core on Shelf"
	@$(BIN)/python -m bench suite=shelf
	@echo "[4/13] bench: the core on boxes, which misses the published tracks on CMC2"
	@$(BIN)/python -m bench suite=cmc || [ $$? = 1 ]
	@echo "[5/13] bench: the ball"
	@$(BIN)/python -m bench suite=ball rig=court8 suite.games=1 suite.frames=600 || [ $$? = 1 ]
	@echo "[6/13] bench: cameras that are knocked, late and swapped"
	@$(BIN)/python -m bench suite=rig_health suite.stream_hours=1 suite.starts=5 suite.calm_s=60 || [ $$? = 1 ]
	@echo "[7/13] bench: what to ask about each frame"
	@$(BIN)/python -m bench suite=plan suite.frames=180 rig.cameras=[4] suite.speedups=[2] suite.searched_px=[] || [ $$? = 1 ]
	@echo "[8/13] bench: a recorded game solved again"
	@$(BIN)/python -m bench suite=game rig=court8 suite.frames=240 || [ $$? = 1 ]
	@echo "[9/13] bench: the server beside onnxruntime in-process"
	@$(BIN)/python -m bench suite=triton suite.requests=8 suite.turns=3
	@echo "[10/13] bench: the pipeline on the demo's clips"
	@$(BIN)/python -m bench suite=pipeline
	@echo "[11/13] bench: live cameras, capture to the tracker"
	@$(MAKE) rtsp
	@$(BIN)/python -m bench suite=capture suite.seconds=5 || [ $$? = 1 ]
	@echo "[12/13] bench: the journal"
	@$(BIN)/python -m bench suite=journal || [ $$? = 1 ]
	@echo "[13/13] bench: snapshots to subscribers"
	@$(BIN)/python -m bench suite=streams suite.subscribers=[1,10] suite.seconds=3 || [ $$? = 1 ]

# What `make test` does briefly, as long and as often as ROBUSTNESS.md says.
robustness: models
	@echo "[1/3] robustness: nodes and journals killed 50 times, 10,000 spoilt journals, 1,500 nights of random troubles"
	@TIPOFF_KILLS=50 TIPOFF_MUTANTS=10000 $(BIN)/pytest -q --timeout 3600 tests/robustness/test_kills.py \
	tests/integration/edge_node/test_journal_kill.py tests/unit/edge_node/journal/test_mutants.py \
	tests/integration/edge_node/test_subscribers_under_duress.py tests/integration/edge_node/test_nothing_is_left.py
	@TIPOFF_NIGHTS=1500 $(BIN)/pytest -q tests/unit/edge_node/live/test_hostile_night.py
	@echo "[2/3] robustness: cameras that misbehave"
	@$(MAKE) rtsp
	@TIPOFF_FAULTS=long $(BIN)/pytest -q --timeout 900 tests/integration/edge_node/test_rtsp_cameras.py \
	tests/integration/edge_node/live/test_faulty_cameras.py tests/integration/edge_node/live/test_dead_disk.py
	@echo "[3/3] robustness: bad subscribers, and three times as many as are taken, for 60 s"
	@$(BIN)/python -m bench suite=streams suite.subscribers=[] suite.seconds=60

soak: native
	@echo "[1/1] soak: a node for $(SOAK_SECONDS) s while a camera comes and goes"
	@TIPOFF_SOAK_S=$(SOAK_SECONDS) $(BIN)/pytest -q -s $(SOAK_TEST)

clean:
	@echo "[1/1] clean: build/, dist/, out/, .venv and what was built in place"
	@rm -rf build dist out outputs multirun .venv tipoff/v1 tipoff.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@rm -f accel/*.so
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

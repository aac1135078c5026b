# Everything from a bare machine: each target sets up what it needs first.
#
#   make demo                 build, fetch a student, train it, show before and after
#   make build                build/release/pupil
#   make test                 every test that ends in minutes
#   make test-asan            unit tests under the address and undefined-behaviour sanitizers
#   make test-tsan            thread pool, operations and decoding under the thread sanitizer
#   make test-arm64           the kernels for arm64, under emulation
#   make test-long            the rest: sanitizers over everything, long runs, mlx-lm
#   make lint                 form, layers, sizes, clang-tidy over src/
#   make bench                the kernels beside this machine's limits
#   make fuzz                 the readers of what others wrote, a minute each (needs clang)
#   make format               clang-format over the tree
#   make docs                 docs/config.md and docs/methods.md from the code
#   make install PREFIX=...   the program and MLX's libraries (default /usr/local)
#   make clean                removes build/

PREFIX ?= /usr/local
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
CTEST = ctest --output-on-failure --no-tests=error --parallel $(JOBS)

.PHONY: build demo test test-asan test-tsan test-arm64 test-long lint bench fuzz format docs \
  install clean

build:
	@scripts/build.sh release pupil

demo: build
	@scripts/demo.sh

test:
	@scripts/build.sh release
	@scripts/setup_peers.sh
	@scripts/fetch_student.sh
	@$(CTEST) --test-dir build/release --label-exclude '^long$$'

test-asan:
	@scripts/build.sh asan unit_tests
	@scripts/with_sanitizers.sh $(CTEST) --test-dir build/asan --label-exclude '^(long|app)$$' \
	  --exclude-regex '_NOT_BUILT$$'

test-tsan:
	@scripts/build.sh tsan ops_test rollout_test
	@scripts/with_sanitizers.sh $(CTEST) --test-dir build/tsan --label-regex '^(ops|rollout)$$'

test-arm64:
	@scripts/check_arm64.sh

test-long: test-arm64 test-tsan
	@scripts/build.sh release
	@scripts/build.sh asan
	@scripts/lint.sh src/ tests/
	@scripts/setup_peers.sh long
	@scripts/fetch_student.sh
	@scripts/with_sanitizers.sh $(CTEST) --test-dir build/asan
	@$(CTEST) --test-dir build/release --label-regex '^long$$'

lint:
	@scripts/setup.sh
	@scripts/lint.sh src/

bench:
	@scripts/build.sh release ops_bench
	@build/release/benchmarks/ops_bench --benchmark_min_time=0.02 --benchmark_repetitions=9 \
	  --benchmark_enable_random_interleaving

fuzz:
	@scripts/setup.sh
	@scripts/fuzz.sh

format:
	@scripts/setup.sh
	@git ls-files '*.cpp' '*.h' | xargs .venv/bin/clang-format -i

docs: build
	@build/release/pupil init --markdown > docs/config.md
	@build/release/pupil init --methods > docs/methods.md

install: build
	@cmake --install build/release --prefix $(PREFIX)

clean:
	@rm -rf build

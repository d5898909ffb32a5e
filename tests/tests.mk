# What `make test` runs. See tests/README.md.

tests/node_modules/.package-lock.json: tests/package-lock.json | deps
	@cd tests && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

.PHONY: test test-sanitized deps-editors

# Asks for nothing that is there, and fails for nothing that cannot be had.
deps-editors: deps
	@tests/editors/deps.sh

# The same tests twice: as built for use, then under the address and undefined sanitizers.
test: deps-test ## run all that needs no GPU, then all of it under ASan and UBSan
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory test-sanitized

.PHONY: test-editors
test-editors: $(BUILD)/fimd ## ghost text in the real editors that are there
	@FIMD=$(abspath $(BUILD)/fimd) tests/editors/run.sh

HOURS ?= 1
SPEED ?= 1
.PHONY: soak
soak: $(BUILD)/fimd tests/node_modules/.package-lock.json ## type for HOURS=1 at SPEED=1 times human speed, watch memory (ARGS=, LOG=, TEXTS=)
	@mkdir -p build; FIMD=$(abspath $(BUILD)/fimd) node tests/soak/soak.mjs --hours $(HOURS) --speed $(SPEED) \
	  --log $(or $(LOG),build/soak.log) $(if $(TEXTS),--texts $(TEXTS)) -- $(ARGS)

test-sanitized:
	@$(MAKE) --no-print-directory SANITIZE=address,undefined check

# Not a part of `make test`: it takes long.
THREADS_SRC := $(wildcard tests/engine/test_*.c tests/completion/test_*.c tests/lsp/test_*.c) tests/kernels/test_pool.c
.PHONY: test-threads threads-pass
test-threads: deps-test ## all tests in which threads matter, under the thread sanitizer
	@$(MAKE) --no-print-directory NVCC= SANITIZE=thread threads-pass

threads-pass: deps $(BUILD)/fimd $(THREADS_SRC:%.c=$(BUILD)/%) $(TEST_TOOLS) $(TEST_PRELOADS) tests/node_modules/.package-lock.json
	@BUILD=$(BUILD) SANITIZE=$(SANITIZE) tests/run.sh

check: deps $(BUILD)/fimd $(TESTS) $(TEST_TOOLS) fuzz-targets $(TEST_PRELOADS) tests/node_modules/.package-lock.json ## one pass of the tests (SANITIZE= as you like)
	@BUILD=$(BUILD) SANITIZE=$(SANITIZE) tests/run.sh

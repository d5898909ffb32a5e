# fuzz.mk - the fuzz targets: with driver.c for make test, with clang's libFuzzer for make fuzz.

FUZZ_SRC     := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_TARGETS := $(patsubst %.c,$(BUILD)/%,$(FUZZ_SRC))
FUZZ_SEEDS   := $(BUILD_ROOT)/fuzz-seeds
SECONDS      ?= 60

# FUZZER=1: libFuzzer has the main function. Coverage is of what lies above the kernels.
COVERAGE     := $(if $(FUZZER),-fsanitize=fuzzer-no-link)
FUZZ_MAIN := $(if $(FUZZER),,$(BUILD)/tests/fuzz/driver.o)

$(BUILD)/tests/fuzz/fuzz_server: $(BUILD)/tests/fuzz/server_script.o
$(BUILD)/tests/fuzz/fuzz_server: FUZZ_LINK := -lcmocka -Wl,--wrap=completion_new,--wrap=completion_delete \
  -Wl,--wrap=completion_document_set,--wrap=completion_root_add,--wrap=completion_file_changed

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_MAIN) $(LIBS) | deps-test
	@echo '  ld $@'
	$(Q)$(CC) $(CFLAGS) $(SAN) $(if $(FUZZER),-fsanitize=fuzzer) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS) \
	  $(FUZZ_LINK) $(LDLIBS)

$(FUZZ_SEEDS)/.made: tests/fuzz/seeds.mjs $(wildcard tests/data/cases/*.txt) | deps
	@mkdir -p $(@D) && node $< $(@D) && touch $@

.PHONY: fuzz fuzz-targets
fuzz-targets: $(FUZZ_TARGETS) $(FUZZ_SEEDS)/.made

fuzz: deps-test ## look for faults with clang's libFuzzer (SECONDS=60 for each target)
	@tests/fuzz/run.sh check
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang CFLAGS='-O1 -g' SANITIZE=address,undefined NVCC= FUZZER=1 fuzz-targets
	@tests/fuzz/run.sh $(SECONDS)

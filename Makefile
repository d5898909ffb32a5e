# fimd - `make help` lists what there is to do.

BUILD    ?= build$(if $(SANITIZE),/sanitize-$(subst $(comma),-,$(SANITIZE)))
PREFIX   ?= /usr/local
CC       ?= cc
CFLAGS   ?= -O2 -g
comma    := ,
empty    :=
space    := $(empty) $(empty)
Q        := $(if $(V),,@)

# All cores, unless the caller says how many; a make within a make has its caller's.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif

# ---- what must be on the machine ------------------------------------------------------------

# nvcc, where there is one, compiles its host's part with g++.
DEBIAN_TOOLS := gcc make pkg-config git ca-certificates \
  $(if $(shell command -v nvcc)$(wildcard /usr/local/cuda*/bin/nvcc),g++)
DEBIAN_LIBS  := libc6-dev libuv1-dev libcjson-dev libpcre2-dev libutf8proc-dev
DEBIAN_TEST  := libcmocka-dev
PKGS         := libuv libcjson libpcre2-8 libutf8proc

# ---- flags ----------------------------------------------------------------------------------

# The GPU part is built where there is a CUDA compiler (12.4 or later). NVCC= leaves it out.
# Machine code for each of these, and PTX of the first for cards to come.
NVCC       ?= auto
COMPILERS  := $(and $(shell command -v $(CC)),$(or $(shell command -v g++),$(shell command -v c++)))
CUDA_FOUND := $(if $(and $(NVCC),$(COMPILERS)),$(shell kernels/cuda/toolkit.sh build/cuda-toolkit $(NVCC:auto=)))
CUDA_CC    := $(word 1,$(CUDA_FOUND))
CUDA_ARCHS ?= 80 86 89 90a
CUDA_BUILD ?= build/cuda-$(subst $(space),-,$(CUDA_ARCHS))
CUDA_LIBS   = $(if $(CUDA_CC),-L$(word 3,$(CUDA_FOUND)) -lcudart_static -lrt)
NVCCFLAGS   = -std=c++17 -O3 -I. -Xcompiler -fno-exceptions,-fno-rtti,-fno-threadsafe-statics,-Wall -Wno-deprecated-gpu-targets \
  $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$a$(comma)code=sm_$a) \
  -gencode arch=compute_$(firstword $(CUDA_ARCHS))$(comma)code=compute_$(firstword $(CUDA_ARCHS))

FIMD_VERSION := 0.1.0
CPPFLAGS += -I. -I$(TS)/include -D_GNU_SOURCE -DFIMD_VERSION=\"$(FIMD_VERSION)\"
CPPFLAGS += $(if $(CUDA_CC),-DFIMD_CUDA -isystem $(word 2,$(CUDA_FOUND)))
WARN     := -std=c11 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
# A sanitized parser is ten times as slow: what it may take is, too, or texts would depend on the load.
SAN      := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all \
              -DCOMPLETION__PATIENCE_MS=1500.0)
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   = $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LDLIBS    = $(PKG_LIBS) $(CUDA_LIBS) -lpthread -ldl -lm

# kernels/cpu/*_avx2.c and the like are compiled for their instruction set and called only
# where the running CPU has it.
# The sanitizers take minutes to compile their unrolled loops at -O3, or where variables are tracked
# for the debugger; and with three checks of pointers, of which the address sanitizer sees what
# matters, most of what the tests take is spent here. The thread sanitizer does not look into the
# innermost loops, which know of no threads: they would take most of its time.
FAST_SAN = -O2 -fno-var-tracking \
  $(if $(findstring undefined,$(SANITIZE)),-fno-sanitize=null$(comma)object-size$(comma)pointer-overflow)
INNERMOST := kernels/cpu/fast_amx.c kernels/cpu/fast_avx2.c kernels/cpu/fast_avx512.c kernels/cpu/fast_portable.c
kernels_flags = $(if $(and $(findstring thread,$(SANITIZE)),$(filter $(INNERMOST),$1)),-fno-sanitize=thread) \
  $(if $(and $(SANITIZE),$(filter kernels/cpu/fast%,$1)),$(FAST_SAN),-O3) -ffp-contract=off \
  $(if $(filter %_avx2.c,$1),-mavx2 -mfma -mf16c) \
  $(if $(filter %_avx512.c,$1),-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mprefer-vector-width=512) \
  $(if $(filter %_amx.c,$1),-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mamx-tile -mamx-int8 -mamx-bf16 -mprefer-vector-width=512)

# ---- sources --------------------------------------------------------------------------------

KERNELS_SRC    := $(wildcard kernels/*.c kernels/cpu/*.c $(if $(CUDA_CC),kernels/cuda/*.c))
CUDA_SRC       := $(if $(CUDA_CC),$(wildcard kernels/cuda/*.cu))
ENGINE_SRC     := $(wildcard engine/*.c)
COMPLETION_SRC := $(wildcard completion/*.c)
LSP_SRC        := $(filter-out lsp/main.c,$(wildcard lsp/*.c))
TEST_SRC       := $(wildcard tests/kernels/test_*.c tests/engine/test_*.c \
                    tests/completion/test_*.c tests/lsp/test_*.c)
TEST_TOOL_SRC  := $(wildcard tests/tools/*.c)
TEST_MJS       := $(wildcard tests/protocol/test_*.mjs)

obj = $(patsubst %.c,$(BUILD)/%.o,$1)
LIBS := $(BUILD)/liblsp.a $(BUILD)/libcompletion.a $(BUILD)/libengine.a $(BUILD)/libkernels.a \
        $(BUILD)/libgrammars.a
TESTS := $(patsubst %.c,$(BUILD)/%,$(TEST_SRC))
TEST_TOOLS := $(patsubst %.c,$(BUILD)/%,$(TEST_TOOL_SRC))
TEST_PRELOADS := $(patsubst %.c,$(BUILD)/%.so,$(wildcard tests/preload/*.c))

.DEFAULT_GOAL := all
.PHONY: all help deps deps-test demo test check bench vsix install clean
.SECONDARY:

all: deps ## build build/fimd (installs what is missing, as root)
	@$(MAKE) --no-print-directory $(BUILD)/fimd

help: ## list these targets
	@echo 'fimd $(FIMD_VERSION): fill-in-the-middle completions from your own machine, over LSP'; echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## /  make \1|/p' Makefile tests/tests.mk tests/fuzz/fuzz.mk | awk -F'|' '{printf "%-16s %s\n",$$1,$$2}'
	@echo; echo '  PREFIX=/usr/local   SANITIZE=address,undefined   V=1   CC=$(CC)   CFLAGS="$(CFLAGS)"'

# ---- dependencies ---------------------------------------------------------------------------

# $1: packages. Installs those that are missing where we are root; else names the one command.
define need_debian
	@missing=; for p in $1; do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	command -v npm >/dev/null 2>&1 || missing="$$missing nodejs npm"; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing:$$missing"; mkdir -p build; \
	    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing) >build/apt.log 2>&1 \
	      || { tail -20 build/apt.log; exit 1; }; \
	  else echo "fimd needs packages that are not installed. Run:"; echo "  sudo apt-get install -y$$missing"; exit 1; fi; \
	fi
endef

# Everything below the Debian packages is made by a second make, so that the compilers,
# pkg-config and the grammars are looked at after they were installed.
deps:
	$(call need_debian,$(DEBIAN_TOOLS) $(DEBIAN_LIBS))

deps-test: deps deps-editors
	$(call need_debian,$(DEBIAN_TEST))

include grammars/grammars.mk

# ---- compile --------------------------------------------------------------------------------

$(BUILD)/kernels/%.o: kernels/%.c | deps
	@mkdir -p $(@D); echo '  cc $<'
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARN) $(SAN) $(call kernels_flags,$<) -MMD -MP -c $< -o $@

# Whether there is a GPU part: compiled again once a CUDA compiler was found.
$(BUILD)/kernels/kernels.o: $(wildcard build/cuda-toolkit)

# Shared by all builds, sanitized or not.
$(CUDA_BUILD)/%.o: kernels/cuda/%.cu
	@mkdir -p $(@D); echo '  nvcc $<'
	$(Q)$(CUDA_CC) $(NVCCFLAGS) -MD -MP -MF $(@:.o=.d) -c $< -o $@

# The editors' files travel in the binary, as a table that lsp/editor_files.h tells of.
EDITOR_FILES := $(sort $(wildcard editors/neovim/lua/fimd/*.lua editors/neovim/doc/*.txt editors/emacs/*.el))
$(BUILD)/lsp/editor_files.S: $(EDITOR_FILES) Makefile
	@mkdir -p $(@D); { \
	  echo '.section .data.rel.ro, "aw"'; echo '.balign 8'; echo '.global lsp__editor_files'; \
	  echo 'lsp__editor_files:'; i=0; \
	  for f in $(EDITOR_FILES); do echo ".quad p$$i, t$$i, e$$i - t$$i"; i=$$((i + 1)); done; \
	  echo '.quad 0, 0, 0'; echo '.section .rodata'; i=0; \
	  for f in $(EDITOR_FILES); do \
	    echo "p$$i: .asciz \"$${f#editors/}\""; echo "t$$i: .incbin \"$$f\""; echo "e$$i: .byte 0"; i=$$((i + 1)); done; \
	  echo '.section .note.GNU-stack, "", @progbits'; } >$@
$(BUILD)/lsp/editor_files.o: $(BUILD)/lsp/editor_files.S
	@echo '  as $<'
	$(Q)$(CC) -I. -c $< -o $@

# Files that travel in the binary (.incbin).
$(BUILD)/%.o: %.S | deps
	@mkdir -p $(@D); echo '  as $<'
	$(Q)$(CC) -I. -MMD -MP -c $< -o $@
$(BUILD)/engine/models/embedded.o: engine/models/fimd-mini-31m-q8_0.gguf
$(BUILD)/lsp/demo/samples.o: $(wildcard lsp/demo/*)

$(BUILD)/%.o: %.c | deps grammars-headers
	@mkdir -p $(@D); echo '  cc $<'
	$(Q)$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) $(WARN) $(SAN) $(COVERAGE) -MMD -MP -c $< -o $@

$(BUILD)/libkernels.a: $(call obj,$(KERNELS_SRC)) $(patsubst kernels/cuda/%.cu,$(CUDA_BUILD)/%.o,$(CUDA_SRC))
$(BUILD)/libengine.a: $(call obj,$(ENGINE_SRC)) $(BUILD)/engine/models/embedded.o
$(BUILD)/libcompletion.a: $(call obj,$(COMPLETION_SRC))
$(BUILD)/liblsp.a: $(call obj,$(LSP_SRC)) $(BUILD)/lsp/demo/samples.o $(BUILD)/lsp/editor_files.o
$(BUILD)/lib%.a:
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/fimd: $(BUILD)/lsp/main.o $(LIBS)
	@echo '  ld $@'
	$(Q)$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Tests link what their folder is about and what lies below it, nothing above.
TEST_LIBS_kernels    := $(BUILD)/libkernels.a
TEST_LIBS_engine     := $(BUILD)/libengine.a $(BUILD)/libkernels.a
TEST_LIBS_completion := $(BUILD)/libcompletion.a $(BUILD)/libengine.a $(BUILD)/libkernels.a $(BUILD)/libgrammars.a
TEST_LIBS_lsp        := $(LIBS)
TEST_LIBS_tools      := $(LIBS)
TEST_LIBS_gpu        := $(BUILD)/libkernels.a
define test_rule
$$(BUILD)/tests/$1/%: $$(BUILD)/tests/$1/%.o $$(TEST_LIBS_$1) | deps-test
	@echo '  ld $$@'
	$$(Q)$$(CC) $$(CFLAGS) $$(SAN) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS) $$(if $$(filter tools,$1),,-lcmocka)
endef
$(foreach m,kernels engine completion lsp tools gpu,$(eval $(call test_rule,$m)))

# fimd with places where a test can stop it.
HELD_WRAPS := lsp_serve lsp__did_open lsp__requests_edited lsp__mail_update lsp__mail_done \
  completion_start completion__syntax_definitions engine_open engine__device_step
$(BUILD)/tests/tools/held_fimd: $(BUILD)/tests/tools/held_fimd.o $(BUILD)/lsp/main.o $(LIBS) | deps-test
	@echo '  ld $@'
	$(Q)$(CC) $(CFLAGS) $(SAN) $(LDFLAGS) $(HELD_WRAPS:%=-Wl,--wrap=%) -o $@ $^ $(LDLIBS)

# Not sanitized: it stands between the program and the sanitizer's allocator.
$(BUILD)/tests/preload/%.so: tests/preload/%.c | deps-test
	@mkdir -p $(@D); echo '  ld $@'
	$(Q)$(CC) -D_GNU_SOURCE -O2 -g -fno-omit-frame-pointer $(WARN) -Wno-missing-prototypes -shared -fPIC -o $@ $< -ldl

# ---- run ------------------------------------------------------------------------------------

demo: all ## build and show ghost text in five languages
	@$(BUILD)/fimd demo

bench: all ## time prefill, decode and the tokenizer on this machine
	@$(BUILD)/fimd bench

# The extension for VS Code; of no use to the others.
vsix: deps ## build build/fimd.vsix, the extension for VS Code (node 20 or later)
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { echo "the package needs node 20 or later; this is $$(node --version)"; exit 1; }
	@mkdir -p build; cd editors/vscode && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null && npm run --silent package

install: all ## install under PREFIX
	install -Dm755 $(BUILD)/fimd $(DESTDIR)$(PREFIX)/bin/fimd
	@if [ -f build/fimd.vsix ]; then install -Dm644 build/fimd.vsix $(DESTDIR)$(PREFIX)/share/fimd/fimd.vsix; fi

clean: ## remove build/
	rm -rf build

include tests/tests.mk
include tests/fuzz/fuzz.mk

-include $(shell find $(BUILD) $(wildcard $(CUDA_BUILD)) -type f -name '*.d' -not -path '*/node_modules/*' 2>/dev/null)

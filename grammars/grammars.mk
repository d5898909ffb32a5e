# grammars.mk - tree-sitter's C library and the grammars, from npm into the build folder.
#
# The packages come to 280 MB, nearly all of it prebuilt binaries; what is kept are the C
# sources, the queries and the licences, about 170 MB of tables. They live in
# $(BUILD_ROOT)/grammars, apart from $(BUILD), so that sanitizer builds share the download and
# the compiled parser tables; the runtime and the hand-written scanners, which have memory to
# get wrong, are compiled once per $(BUILD) with its sanitizer.

BUILD_ROOT ?= build
GRAMMARS   := $(BUILD_ROOT)/grammars
TS         := $(GRAMMARS)/tree-sitter

# name=folder of its src/ under $(GRAMMARS)
GRAMMAR_DIRS := bash=bash c=c c-sharp=c-sharp cpp=cpp css=css go=go html=html java=java \
  javascript=javascript json=json lua=lua php=php/php python=python ruby=ruby rust=rust \
  tsx=typescript/tsx typescript=typescript/typescript
GRAMMAR_SCANNERS := bash c-sharp cpp css html javascript lua php python ruby rust tsx typescript
grammar_name = $(word 1,$(subst =, ,$1))
grammar_src  = $(GRAMMARS)/$(word 2,$(subst =, ,$1))/src

# ---- get ------------------------------------------------------------------------------------

GRAMMARS_STAMP := $(GRAMMARS)/.installed

.PHONY: grammars-headers
grammars-headers: $(GRAMMARS_STAMP)

# The lock is for several makes at work in one tree; it is freed when the shell ends.
$(GRAMMARS_STAMP): grammars/package-lock.json | deps
	@mkdir -p $(GRAMMARS)
	@exec 9>$(GRAMMARS)/.lock; if command -v flock >/dev/null; then flock 9; fi; \
	if [ $@ -nt $< ]; then exit 0; fi; \
	echo "getting the grammars"; \
	cd $(GRAMMARS) && rm -rf npm && mkdir npm && cp $(CURDIR)/grammars/package.json $(CURDIR)/grammars/package-lock.json npm/ && \
	if ! (cd npm && npm ci --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error) >npm.log 2>&1; then \
	  cat npm.log; echo "fimd: npm could not get the grammars of grammars/package.json"; exit 1; fi; \
	rm -rf tree-sitter && mkdir tree-sitter && mv npm/node_modules/tree-sitter/LICENSE npm/node_modules/tree-sitter/vendor/tree-sitter/lib/* tree-sitter/ && \
	for p in npm/node_modules/tree-sitter-* npm/node_modules/@*/tree-sitter-*; do \
	  name=$${p##*/tree-sitter-}; rm -rf $$name && mkdir $$name && \
	  for part in LICENSE LICENSE.md src queries common php typescript tsx; do \
	    if [ -e $$p/$$part ]; then mv $$p/$$part $$name/; fi; done; \
	  find $$name \( -name 'grammar.json' -o -name 'node-types.json' \) -delete; done && \
	rm -rf npm npm.log && touch $(@F)

# ---- compile --------------------------------------------------------------------------------

GRAMMARS_SAN   := $(if $(findstring address,$(SANITIZE)),-fsanitize=address -fno-omit-frame-pointer)
GRAMMARS_FLAGS := -O2 -w -std=c11 -D_DEFAULT_SOURCE
PARSER_OBJ  := $(foreach g,$(GRAMMAR_DIRS),$(GRAMMARS)/obj/$(call grammar_name,$g)-parser.o)
SCANNER_OBJ := $(foreach g,$(GRAMMAR_SCANNERS),$(BUILD)/grammars/obj/$g-scanner.o)
RUNTIME_OBJ := $(BUILD)/grammars/obj/tree-sitter.o

# Compiled beside its target and moved, as another make may be at the same table.
define grammar_rules
$(GRAMMARS)/obj/$(call grammar_name,$1)-parser.o: $(GRAMMARS_STAMP)
	@mkdir -p $$(@D); echo '  cc $(call grammar_src,$1)/parser.c'
	$$(Q)$$(CC) $(GRAMMARS_FLAGS) -I$(call grammar_src,$1) -c $(call grammar_src,$1)/parser.c -o $$@.$$$$$$$$ && mv $$@.$$$$$$$$ $$@
$(BUILD)/grammars/obj/$(call grammar_name,$1)-scanner.o: grammars/scanner_memory.h $(GRAMMARS_STAMP)
	@mkdir -p $$(@D); echo '  cc $(call grammar_src,$1)/scanner.c'
	$$(Q)$$(CC) $(GRAMMARS_FLAGS) $(GRAMMARS_SAN) -include grammars/scanner_memory.h -I$(call grammar_src,$1) -c $(call grammar_src,$1)/scanner.c -o $$@
endef
$(foreach g,$(GRAMMAR_DIRS),$(eval $(call grammar_rules,$g)))

$(RUNTIME_OBJ): $(GRAMMARS_STAMP)
	@mkdir -p $(@D); echo '  cc $(TS)/src/lib.c'
	$(Q)$(CC) $(GRAMMARS_FLAGS) $(GRAMMARS_SAN) -I$(TS)/include -I$(TS)/src -c $(TS)/src/lib.c -o $@

$(BUILD)/grammars/queries.o: grammars/queries.S $(wildcard grammars/queries/*.scm) $(GRAMMARS_STAMP)
	@mkdir -p $(@D); echo '  as $<'
	$(Q)$(CC) -Wa,-I$(GRAMMARS) -Wa,-I. -c $< -o $@

$(BUILD)/libgrammars.a: $(BUILD)/grammars/grammars.o $(BUILD)/grammars/queries.o $(RUNTIME_OBJ) $(SCANNER_OBJ) $(PARSER_OBJ)

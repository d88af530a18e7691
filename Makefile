# lorash: make, make test, make check, make demo. Switches:
CC ?= gcc
READLINE ?= 1#    0 = plain line input, no GPL part
SAN ?=#           address,undefined or thread: a sanitizer build in its own folder
WERROR ?= 1#      0 = warnings are not errors
V ?= 0#           1 = show every command

version := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
comma := ,
jobs := $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
BUILD := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))$(if $(filter-out gcc,$(CC)),/$(notdir $(CC)))
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(Q),@printf '  %-5s %s\n' $(1) $(2))

# --- flags: contraction off, so that builds and thread counts cannot change a result
warnings := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
    -Wvla -Wundef -Wno-unknown-pragmas $(if $(filter 1,$(WERROR)),-Werror)
hardening := $(if $(SAN),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
CFLAGS ?= -O2 -g
flags := -std=c11 -D_GNU_SOURCE -I. -fPIE -pthread -ffp-contract=off -fno-math-errno $(warnings) \
    $(hardening) $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
    -DLORASH_VERSION='"$(version)"' -DHAVE_READLINE=$(READLINE) $(CFLAGS)
lua_flags := $(shell pkg-config --cflags lua5.4 2>/dev/null)
libs := $(shell pkg-config --libs lua5.4 2>/dev/null || echo -llua5.4) \
    $(if $(filter 1,$(READLINE)),-lreadline) -lcsv -lpcre2-8 -ldl -lm
ldflags := -pie -pthread -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))

# --- sources: kernels/cpu is one source built three times
isas := avx512 avx2 plain
isa_avx512 := -O3 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mf16c -mbmi2 -DCPU_AVX512
isa_avx2 := -O3 -mavx2 -mfma -mf16c -mbmi2 -DCPU_AVX2
isa_plain := -O3
ifneq ($(shell $(CC) -dumpmachine 2>/dev/null | cut -d- -f1),x86_64)
isa_avx512 := -O3
isa_avx2 := -O3
endif
core_c := $(wildcard kernels/*.c kernels/base/*.c kernels/ref/*.c engine/*/*.c engine/*/*/*.c)
cpu_c := $(wildcard kernels/cpu/*.c)
app_c := $(wildcard lua/*.c shell/*.c)
obj = $(patsubst %,$(BUILD)/%.o,$(basename $(1)))
core_o := $(call obj,$(core_c)) $(foreach i,$(isas),$(patsubst %.c,$(BUILD)/%.$(i).o,$(cpu_c)))
app_o := $(call obj,$(app_c))
test_c := $(wildcard tests/kernels/*.c tests/engine/*.c)
test_bin := $(patsubst %.c,$(BUILD)/%,$(filter-out %_util.c,$(test_c)))
fuzz_bin := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*.c))

.PHONY: all test check demo fuzz fuzz_programs soak format clean setup tests
.SECONDARY:
all: $(BUILD)/lorash

$(BUILD)/lorash: $(core_o) $(app_o)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ldflags) -o $@ $^ $(libs)

# --- a change of flags rebuilds everything
stamp := $(BUILD)/.flags
stamp_text := $(CC) $(flags) $(lua_flags) $(isa_avx512)
ifneq ($(shell cat $(stamp) 2>/dev/null),$(shell printf '%s' '$(subst ','"'"',$(stamp_text))'))
$(shell mkdir -p $(BUILD) && printf '%s' '$(subst ','"'"',$(stamp_text))' > $(stamp))
endif

define compile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(flags) $(1) -MMD -MP -c -o $@ $<
endef
define cpu_rule
$(BUILD)/kernels/cpu/%.$(1).o: kernels/cpu/%.c $(stamp)
	$$(call compile,$$(isa_$(1)) -DCPU_ISA=$(1))
endef
$(foreach i,$(isas),$(eval $(call cpu_rule,$(i))))
$(app_o): flags += $(lua_flags)
$(BUILD)/%.o: %.c $(stamp)
	$(call compile)
$(BUILD)/lua/lib.o: $(wildcard lua/lib/*.lua)

# --- tests: every C file of tests/kernels and tests/engine is a program (x_util.c: shared code)
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(core_o) $(call obj,$(wildcard tests/kernels/*_util.c tests/engine/*_util.c))
	$(call say,LINK,$@)
	$(Q)$(CC) $(ldflags) -o $@ $^ -lcmocka $(libs)
$(BUILD)/tests/kernels/gemm_wide.o: flags += -Wno-psabi
tests: $(test_bin) $(BUILD)/lorash
test: setup
	@+$(MAKE) --no-print-directory $(jobs) tests
	@BUILD=$(BUILD) tests/run

# --- speed: bench-gemm, bench-ops (scripts/bench/*.c say how to read them)
bench-%: $(BUILD)/scripts/bench/% ;
$(BUILD)/scripts/bench/%: $(BUILD)/scripts/bench/%.o $(core_o)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ldflags) -o $@ $^ $(libs)
fuzz_c := $(wildcard kernels/base/*.c kernels/quant*.c engine/model/config*.c engine/adapt/lora_[cj]*.c \
    engine/train/log.c engine/train/manifest.c engine/train/run_state*.c $(patsubst %,engine/%/*.c,core formats text text/template data))
fuzz_cc = clang -std=c11 -D_GNU_SOURCE -I. -O1 -g -pthread -ffp-contract=off -fno-sanitize-recover=all
$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(fuzz_cc) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<
$(BUILD)/fuzz/%: tests/fuzz/%.c $(fuzz_c:%.c=$(BUILD)/fuzz/obj/%.o)
	$(call say,FUZZ,$@)
	$(Q)$(fuzz_cc) -fsanitize=fuzzer,address,undefined -o $@ $^ -lcsv -lpcre2-8 -ldl -lm
fuzz_programs: $(fuzz_bin)
fuzz: fuzz_programs
	@tests/fuzz/run $(BUILD)

setup: ; @scripts/setup
check: setup
	@scripts/check
soak: all fuzz_programs
	@scripts/soak $(BUILD)
format:
	clang-format -i $$(git ls-files '*.c' '*.h')
demo: setup
	@+$(MAKE) --no-print-directory $(jobs) all
	@scripts/demo
clean: ; rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

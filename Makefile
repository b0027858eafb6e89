# weir. `make help` lists the targets. V=1 shows the commands.
CC       ?= gcc
CFLAGS   ?= -O2 -g
PREFIX   ?= /usr
DESTDIR  ?=
LIBDIR   ?= $(PREFIX)/lib/$(shell $(CC) -print-multiarch 2>/dev/null)
SYSCONFDIR ?= /etc
UNITDIR  ?= $(PREFIX)/lib/systemd/system
PKG_CONFIG ?= pkg-config
SAN      ?=
O        ?= build

VERSION := $(shell cat VERSION)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)';)

# ---------------------------------------------------------------------------------------------------- flags
ALL_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -fno-strict-aliasing \
             -fPIC -I. -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -MMD -MP $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
# The shim lives in somebody else's process: nothing exported but the version script's names, no fortified twins of
# the calls it wraps, libraries linked in statically and hidden.
SHIM_CFLAGS = -fvisibility=hidden -U_FORTIFY_SOURCE -fno-stack-protector -ftls-model=initial-exec
PCRE2_STATIC = $(shell $(PKG_CONFIG) --variable=libdir libpcre2-8)/libpcre2-8.a

LIBS_RULES = $(shell $(PKG_CONFIG) --libs libcjson libpcre2-8) -lm
LIBS_AGENT = $(LIBS_RULES) $(shell $(PKG_CONFIG) --libs libsystemd) -lpthread

# -------------------------------------------------------------------------------------------------- sources
objects = $(patsubst %.c,$(O)/obj/%.o,$(1))
RULES_SRC := $(wildcard rules/*.c rules/engine/*.c rules/compat/*.c rules/text/*.c)
SHIM_SRC  := $(wildcard shim/*.c shim/protocol/*.c)
SHIM_ASM  := $(wildcard shim/*.S)
AGENT_SRC := $(filter-out agent/main.c,$(wildcard agent/*.c))
TOOLS_SRC := $(wildcard tools/*.c)
UNIT_SRC  := $(wildcard tests/unit/*_test.c)
FUZZ_SRC  := $(wildcard tests/fuzz/*_fuzz.c)
BENCH_SRC := $(wildcard tests/bench/*.c)
SERVER_SRC := $(wildcard tests/servers/*.c)
STRESS_SRC := $(wildcard tests/stress/*.c)
LAYOUT_SRC := $(wildcard tests/layout/*.c)

UNIT_BIN   := $(UNIT_SRC:%.c=$(O)/%)
FUZZ_BIN   := $(FUZZ_SRC:%.c=$(O)/%)
BENCH_BIN  := $(BENCH_SRC:%.c=$(O)/%)
SERVER_BIN := $(SERVER_SRC:%.c=$(O)/%)
STRESS_BIN := $(STRESS_SRC:%.c=$(O)/%)
PROGRAMS   := $(O)/weir $(O)/weir-agent $(O)/libweir.so

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all help clean units fuzzers servers benches stress
all: $(PROGRAMS)

$(O)/obj/shim/%.o: shim/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(SHIM_CFLAGS) -c -o $@ $<
$(O)/obj/shim/%.o: shim/%.S
	@mkdir -p $(@D)
	$(call say,AS,$<)$(CC) $(ALL_CFLAGS) $(SHIM_CFLAGS) -c -o $@ $<
$(O)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(O)/obj/tools/%.o: ALL_CFLAGS += -DWEIR_LIBDIR='"$(LIBDIR)"'

$(O)/librules.a: $(call objects,$(RULES_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^
# The streams and parsers of the shim without the interposition: what unit tests and fuzzers link.
$(O)/libstreams.a: $(call objects,$(filter shim/protocol/% shim/stream% shim/answer%,$(SHIM_SRC)))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^
$(O)/libagent.a: $(call objects,$(AGENT_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(O)/libweir.so: $(call objects,$(SHIM_SRC)) $(patsubst %.S,$(O)/obj/%.o,$(SHIM_ASM)) $(O)/librules.a shim/shim.map
	$(call say,LD,$@)$(CC) -shared $(ALL_LDFLAGS) -Wl,-soname,libweir.so -Wl,--version-script=shim/shim.map -Wl,--exclude-libs,ALL \
	  -Wl,-z,now,-z,relro,-z,nodlopen -o $@ $(filter %.o,$^) $(O)/librules.a $(PCRE2_STATIC) -ldl -lpthread
$(O)/weir-agent: $(O)/obj/agent/main.o $(O)/libagent.a $(O)/librules.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_AGENT)
$(O)/weir: $(call objects,$(TOOLS_SRC)) $(O)/libagent.a $(O)/librules.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_AGENT)

# ---------------------------------------------------------------------------------------------------- tests
$(O)/tests/unit/%_test: $(O)/obj/tests/unit/%_test.o $(O)/libagent.a $(O)/libstreams.a $(O)/librules.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs check) $(LIBS_AGENT)
$(O)/tests/fuzz/%_fuzz: tests/fuzz/%_fuzz.c $(O)/libstreams.a $(O)/librules.a
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)clang $(filter-out -fsanitize=%,$(ALL_CFLAGS)) -fsanitize=fuzzer,address,undefined -o $@ $< $(O)/libstreams.a $(O)/librules.a $(LIBS_RULES)
$(O)/tests/bench/%: $(O)/obj/tests/bench/%.o $(O)/libstreams.a $(O)/librules.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_RULES) -lpthread
$(O)/tests/servers/%: $(O)/obj/tests/servers/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread
$(O)/tests/stress/%: $(O)/obj/tests/stress/%.o $(O)/libagent.a $(O)/libstreams.a $(O)/librules.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_AGENT)

units: $(UNIT_BIN)
fuzzers: $(FUZZ_BIN)
servers: $(SERVER_BIN)
benches: $(BENCH_BIN)
stress: $(STRESS_BIN)

clean:
	rm -rf $(O)

-include $(shell find $(O) -name '*.d' 2>/dev/null)

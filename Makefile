# weir. `make help` lists the targets. V=1 shows the commands.
CC       ?= gcc
# Sanitizers want the code as it was written, and debugging information for lines only: half the time to build.
CFLAGS   ?= $(if $(SAN),-O1 -g1,-O2 -g)
PREFIX   ?= /usr
DESTDIR  ?=
LIBDIR   ?= $(PREFIX)/lib/$(shell $(CC) -print-multiarch 2>/dev/null)
SYSCONFDIR ?= /etc
UNITDIR  ?= $(PREFIX)/lib/systemd/system
PKG_CONFIG ?= pkg-config
BPF_CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL  ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
SAN      ?=
O        ?= build

VERSION := $(shell cat VERSION)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)';)

# ---------------------------------------------------------------------------------------------------- flags
ALL_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -fno-strict-aliasing \
             -fPIC -fvisibility=hidden -I. -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -MMD -MP $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
# The shim runs inside the application's process: nothing exported but the version script's names, no fortified twins of
# the calls it wraps, libraries linked in statically and hidden.
SHIM_CFLAGS = -U_FORTIFY_SOURCE -fno-stack-protector -ftls-model=initial-exec
PCRE2_STATIC = $(shell $(PKG_CONFIG) --variable=libdir libpcre2-8)/libpcre2-8.a

LIBS_RULES = $(shell $(PKG_CONFIG) --libs libcjson libpcre2-8) -lm
# libbpf itself goes in: what distributions ship differs too much in age.
LIBBPF_STATIC = $(wildcard $(shell $(PKG_CONFIG) --variable=libdir libbpf)/libbpf.a)
LIBS_EBPF  = $(or $(LIBBPF_STATIC),-lbpf) -lelf -lz
# Importers of YAML; no other part links it.
LIBS_TOOLS = $(LIBS_AGENT) $(shell $(PKG_CONFIG) --libs yaml-0.1)
LIBS_AGENT = $(LIBS_RULES) $(LIBS_EBPF) $(shell $(PKG_CONFIG) --libs libsystemd) -lpthread

# -------------------------------------------------------------------------------------------------- sources
objects = $(patsubst %.c,$(O)/obj/%.o,$(1))
# Every file of a folder and the folders below it: a new one is found by itself.
in = $(sort $(foreach d,$(1),$(wildcard $(d)/*.$(2) $(d)/*/*.$(2) $(d)/*/*/*.$(2))))
RULES_SRC := $(call in,rules,c)
SHIM_SRC  := $(call in,shim,c)
SHIM_ASM  := $(call in,shim,S)
BPF_SRC   := $(wildcard ebpf/*.bpf.c)
EBPF_SRC  := $(filter-out $(BPF_SRC),$(wildcard ebpf/*.c))
AGENT_SRC := $(filter-out agent/main.c,$(call in,agent,c))
TOOLS_SRC := $(call in,tools,c)
# The parts of tools/ that fuzzers and unit tests drive, too.
REPLAY_SRC := $(wildcard tools/replay/case_*.c tools/replay/trace.c)
IMPORT_SRC := $(filter-out tools/import/cmd_import.c,$(wildcard tools/import/*.c)) $(addprefix tools/,app_name.c text.c)
# The parts of the shim that interpose nothing and make no system call: what unit tests, fuzzers and tools link.
PURE_SRC  := $(wildcard shim/session/*.c shim/protocol/*.c shim/protocol/*/*.c) \
             $(addprefix shim/admission/,client.c values.c origin.c unix_name.c) shim/process/arena.c shim/process/pages.c shim/libc/syscall_raw.c \
             shim/fd/fd_table.c
UNIT_SRC  := $(wildcard tests/unit/*_test.c)
FUZZ_SRC  := $(wildcard tests/fuzz/*_fuzz.c)
BENCH_SRC := $(wildcard tests/bench/*.c)
SERVER_SRC := $(wildcard tests/servers/*.c)
STRESS_SRC := $(wildcard tests/stress/*.c)
LAYOUT_SRC := $(wildcard tests/layout/*.c)

TEST_LIBS  := $(addprefix $(O)/,libimport.a libreplay.a libagent.a libebpf.a libstreams.a librules.a)
UNIT_BIN   := $(UNIT_SRC:%.c=$(O)/%)
FUZZ_BIN   := $(FUZZ_SRC:%.c=$(O)/%)
BENCH_BIN  := $(BENCH_SRC:%.c=$(O)/%)
SERVER_BIN := $(SERVER_SRC:%.c=$(O)/%)
STRESS_BIN := $(STRESS_SRC:%.c=$(O)/%)
PROGRAMS   := $(O)/weir $(O)/weir-agent $(O)/libweir.so

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all help clean units objects fuzzers servers benches stress
all: $(PROGRAMS)

# Asked once: what is missing here, by name.
$(O)/needs:
	@packaging/build-needs '$(CC)' '$(BPF_CLANG)' '$(LLVM_STRIP)' '$(BPFTOOL)' '$(PKG_CONFIG)' && mkdir -p $(@D) && touch $@

$(O)/obj/shim/%.o: shim/%.c | $(O)/needs
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(SHIM_CFLAGS) -c -o $@ $<
$(O)/obj/shim/%.o: shim/%.S | $(O)/needs
	@mkdir -p $(@D)
	$(call say,AS,$<)$(CC) $(ALL_CFLAGS) $(SHIM_CFLAGS) -c -o $@ $<
$(O)/obj/%.o: %.c | $(O)/needs
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(O)/obj/tools/%.o: ALL_CFLAGS += -DWEIR_LIBDIR='"$(LIBDIR)"'

$(O)/librules.a: $(call objects,$(RULES_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^
$(O)/libstreams.a: $(call objects,$(PURE_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^
$(O)/libreplay.a: $(call objects,$(REPLAY_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^
$(O)/libimport.a: $(call objects,$(IMPORT_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^
$(O)/libagent.a: $(call objects,$(AGENT_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

# The kernel programs: ebpf/X.bpf.c becomes build/ebpf/X.skel.h, the program and what loads it (struct X_bpf).
BPF_CFLAGS  = -target bpf -O2 -g -Wall -Wextra -Werror -I. -idirafter /usr/include/$(shell $(CC) -print-multiarch) -MMD -MP
BPF_SKEL   := $(BPF_SRC:%.bpf.c=$(O)/%.skel.h)
$(O)/ebpf/%.bpf.o: ebpf/%.bpf.c | $(O)/needs
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(BPF_CLANG) $(BPF_CFLAGS) -mcpu=v3 -c -o $@ $< && $(LLVM_STRIP) -g $@
$(O)/ebpf/%.skel.h: $(O)/ebpf/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $*_bpf | sed 's|return err;$$|return err; /* NOLINT: it is freed */|' >$@
$(call objects,$(EBPF_SRC)): ALL_CFLAGS += -isystem $(O)
$(call objects,$(EBPF_SRC)): $(BPF_SKEL)
$(O)/libebpf.a: $(call objects,$(EBPF_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(O)/libweir.so: $(call objects,$(SHIM_SRC)) $(patsubst %.S,$(O)/obj/%.o,$(SHIM_ASM)) $(O)/librules.a shim/shim.map
	$(call say,LD,$@)$(CC) -shared $(ALL_LDFLAGS) -Wl,-soname,libweir.so -Wl,--version-script=shim/shim.map -Wl,--exclude-libs,ALL \
	  -Wl,-z,now,-z,relro,-z,nodlopen $(if $(SAN),,-Wl,-z,defs) -o $@ $(filter %.o,$^) $(O)/librules.a $(PCRE2_STATIC) -ldl -lpthread
$(O)/weir-agent: $(O)/obj/agent/main.o $(O)/libagent.a $(O)/libebpf.a $(O)/librules.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_AGENT)
$(O)/weir: $(call objects,$(TOOLS_SRC)) $(O)/libagent.a $(O)/libebpf.a $(O)/libstreams.a $(O)/librules.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_TOOLS)

# The reference of rules files: schema, manual page and the tables of docs/rules.md, from the tables that the parser reads by.
$(O)/weir-tables: $(O)/obj/docs/reference/tables.o $(O)/librules.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_RULES)
.PHONY: docs
docs: $(O)/weir-tables
	$(Q)python3 docs/reference/generate.py --tables $(O)/weir-tables

# ---------------------------------------------------------------------------------------------------- tests
$(O)/tests/unit/%_test: $(O)/obj/tests/unit/%_test.o $(TEST_LIBS)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(shell $(PKG_CONFIG) --libs check) $(LIBS_TOOLS)
# Tests of what the shim does with descriptors link that, and stand in for the rest (tests/unit/fd_fixture.h).
FD_OBJ := $(call objects,$(filter-out shim/fd/fd_table.c shim/fd/fd_custody.c,$(wildcard shim/fd/*.c)) \
            $(addprefix shim/process/,reentry.c high_fd.c clock.c vdso.c) $(addprefix shim/libc/,real.c caller_memory.c wait.c))
$(addprefix $(O)/tests/unit/,connection_test operation_test wait_test wakeup_test): $(FD_OBJ)
# Admission with a real engine; the rest of the shim is made up (tests/unit/admission_fixture.h).
$(addprefix $(O)/tests/unit/,admission_test listener_test origin_test): $(call objects,$(addprefix shim/admission/,request.c arrival.c connection.c handover.c listener.c resources.c refuse.c caller.c))
# Tests of the tools' parts link just those.
$(O)/tests/unit/table_test: $(patsubst %,$(O)/obj/tools/%.o,table text)
$(O)/tests/unit/text_test: $(O)/obj/tools/text.o
$(O)/tests/unit/progress_test: $(patsubst %,$(O)/obj/tools/%.o,progress output table text)
$(O)/tests/unit/top_view_test: $(patsubst %,$(O)/obj/tools/%.o,top_view top_rows top_traffic top_hot top_apps overload top_keys table text control run_dir output)
$(O)/tests/unit/app_name_test: $(patsubst %,$(O)/obj/tools/%.o,app_name suggest)
$(O)/tests/unit/program_test: $(O)/obj/tools/program.o
$(O)/tests/unit/control_test: $(patsubst %,$(O)/obj/tools/%.o,control run_dir output table text)
$(O)/tests/unit/attach_test: $(patsubst %,$(O)/obj/shim/process/%.o,attach_ask attach_map attach_memory high_fd)
$(O)/tests/unit/unit_file_test: $(patsubst %,$(O)/obj/tools/%.o,unit_file program call_filter)
$(O)/tests/unit/call_filter_test: $(patsubst %,$(O)/obj/tools/%.o,call_filter unit_file program)
$(O)/tests/fuzz/%_fuzz: tests/fuzz/%_fuzz.c $(TEST_LIBS)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)clang $(filter-out -fsanitize=%,$(ALL_CFLAGS)) -fsanitize=fuzzer,address,undefined -o $@ $< $(TEST_LIBS) $(LIBS_TOOLS)
$(O)/tests/bench/%: $(O)/obj/tests/bench/%.o $(O)/libstreams.a $(O)/librules.a
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_RULES) -lpthread
$(O)/tests/servers/%: $(O)/obj/tests/servers/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread
$(O)/tests/stress/%: $(O)/obj/tests/stress/%.o $(TEST_LIBS)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_AGENT)

units: $(UNIT_BIN)
objects: $(call objects,$(UNIT_SRC) $(STRESS_SRC) $(BENCH_SRC) $(SERVER_SRC)) # compiled, to see what the compiler says
fuzzers: $(FUZZ_BIN)
servers: $(SERVER_BIN)
benches: $(BENCH_BIN)
stress: $(STRESS_BIN)

# What `make check` runs, in the order in which a failure says most.  Everything is built first, with both compilers.
CHECK_UNITS   = $(UNIT_BIN) $(UNIT_SRC:%.c=$(O)/asan/%)
CHECK_STATIC  = $(wildcard tests/static/*.sh tests/static/*.py tests/layout/*.py)
CHECK_VECTORS = $(wildcard tests/vectors/*.sh)
CHECK_FUZZ    = $(wildcard tests/fuzz/*.sh)
CHECK_STRESS  = $(STRESS_BIN) $(STRESS_SRC:%.c=$(O)/tsan/%)
CHECK_PROCESS = $(sort $(wildcard tests/process/*.py))
CHECK_TRANSPARENT = $(wildcard tests/transparent/run.py)
run = WEIR_BUILD=$(abspath $(O)) CC=$(CC) tests/run -j 3

.PHONY: deps check check-build check-units check-static check-vectors check-fuzz check-stress check-process \
        check-transparent demo bench bench-overload
deps:
	$(Q)./install-packages build
check:
	@echo 'make check: build and tests take about 20 minutes on two cores, longer where they are busy'
	$(Q)./install-packages
	$(Q)+$(MAKE) --no-print-directory -j2 check-build
	$(Q)WEIR_TRANSPARENT=quick $(run) $(CHECK_STATIC) $(CHECK_UNITS) $(CHECK_VECTORS) $(CHECK_FUZZ) $(CHECK_STRESS) $(CHECK_PROCESS) $(CHECK_TRANSPARENT)
check-build:
	$(Q)+$(MAKE) --no-print-directory all units servers stress benches $(O)/weir-tables
	$(Q)+$(MAKE) --no-print-directory fuzzers
	$(Q)+$(MAKE) --no-print-directory O=$(O)/clang CC=clang CFLAGS='-O1 -g0' all objects
	$(Q)+$(MAKE) --no-print-directory O=$(O)/asan SAN=address,undefined units
	$(Q)+$(MAKE) --no-print-directory O=$(O)/tsan SAN=thread stress
check-units: units
	$(Q)+$(MAKE) --no-print-directory O=$(O)/asan SAN=address,undefined units
	$(Q)$(run) $(CHECK_UNITS)
check-static: all $(O)/weir-tables
	$(Q)$(run) $(CHECK_STATIC)
check-vectors: all
	$(Q)$(run) $(CHECK_VECTORS)
check-fuzz: fuzzers
	$(Q)$(run) $(CHECK_FUZZ)
check-stress: stress
	$(Q)+$(MAKE) --no-print-directory O=$(O)/tsan SAN=thread stress
	$(Q)$(run) $(CHECK_STRESS)
check-process: all servers $(O)/tests/bench/openload
	$(Q)$(run) $(CHECK_PROCESS)
check-transparent: all
	$(Q)$(run) $(CHECK_TRANSPARENT)

demo:
	$(Q)./install-packages build demo
	$(Q)+$(MAKE) --no-print-directory -j2 all
	$(Q)WEIR_BUILD=$(abspath $(O)) demo/demo.sh
bench:
	$(Q)./install-packages
	$(Q)+$(MAKE) --no-print-directory -j2 all benches
	$(Q)WEIR_BUILD=$(abspath $(O)) tests/bench/bench.py
# What adaptive protection does on real servers that are overloaded: half an hour for all of them.
bench-overload:
	$(Q)./install-packages
	$(Q)+$(MAKE) --no-print-directory -j2 all benches
	$(Q)WEIR_BUILD=$(abspath $(O)) tests/bench/overload.py steps --seconds 8 -o $(O)/overload.json

include packaging/install.mk

help:
	@echo 'all demo check bench bench-overload install uninstall deb rpm docs deps clean'
	@echo 'check-units check-static check-vectors check-fuzz check-stress check-process check-transparent'
	@echo 'variables: CC CFLAGS PREFIX DESTDIR LIBDIR SYSCONFDIR UNITDIR O (output folder) SAN (sanitizers) V=1'

clean:
	rm -rf $(O)

-include $(shell find $(wildcard $(O)/obj $(O)/ebpf $(O)/tests) -type f -name '*.d' 2>/dev/null)

# Heloise: see README. `make help` lists the targets.
#
# One _SRC line per program says what it is made of, besides COMMON_SRC. Variables for
# other systems: CC CFLAGS LDFLAGS BUILD PREFIX DESTDIR, CDB_CFLAGS CDB_LIBS (tinycdb),
# OWFAT_CFLAGS OWFAT_LIBS (libowfat).

BUILD   ?= build
PREFIX  ?= /usr/local
VERSION := 0.1
CFLAGS  ?= -O2 -g

WARN       := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
HARDEN     := -fPIE -fstack-protector-strong -fstack-clash-protection
ALL_CFLAGS  = -std=gnu11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' $(WARN) $(HARDEN) \
              $(if $(SANITIZE),$(SANITIZE),-D_FORTIFY_SOURCE=2) -iquote . $(CDB_CFLAGS) $(OWFAT_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(SANITIZE) $(LDFLAGS)

# tinycdb is unpacked privately on Debian, where its header and libowfat's cannot be
# installed together; it is linked ahead of libowfat, whose cdb functions differ.
CDB_DIR    ?= build/tinycdb
CDB_CFLAGS ?= -isystem $(CDB_DIR)/include
CDB_LIBS   ?= $(CDB_DIR)/libcdb.a
OWFAT_LIBS ?= -lowfat
LIBS        = $(CDB_LIBS) $(OWFAT_LIBS) -lxxhash -lseccomp -lidn2 -lpthread

COMMON_SRC   := $(patsubst %,common/%.c,wire chan loop log program settings table route ip units \
                verdict instance address hello access verbs content retry peerwords localuser confine)
MESSAGE_SRC  := queue/envelope.c queue/history.c
ASK_SRC      := resolve/ask.c resolve/answer.c resolve/mx.c
STORE_SRC    := queue/store.c $(MESSAGE_SRC)
COMMANDS_SRC := queue/command.c queue/inspect.c deliver/peers_command.c deliver/peers.c

bin_heloise_SRC             := conf/heloise.c conf/run.c conf/build.c $(COMMANDS_SRC) $(STORE_SRC)
bin_sendmail_SRC            := queue/sendmail.c queue/submit.c queue/drop.c
libexec_heloise-smtpd_SRC   := smtpd/smtpd.c
libexec_heloise-auth_SRC    := smtpd/auth.c
libexec_heloise-intake_SRC  := queue/intake.c queue/drop.c $(STORE_SRC)
libexec_heloise-queue_SRC   := queue/manager.c queue/inspect.c $(STORE_SRC)
libexec_heloise-bounce_SRC  := queue/bounce.c queue/report.c $(MESSAGE_SRC)
libexec_heloise-deliver_SRC := deliver/deliver.c $(ASK_SRC) $(MESSAGE_SRC)
libexec_heloise-local_SRC   := deliver/local.c $(MESSAGE_SRC)
libexec_heloise-resolve_SRC := resolve/resolve.c resolve/answer.c
libexec_heloise-resolve_LIBS := -lunbound

PROGRAMS := $(patsubst %_SRC,%,$(filter bin_%_SRC libexec_%_SRC,$(.VARIABLES)))
BINARIES := $(foreach p,$(PROGRAMS),$(BUILD)/$(subst _,/,$(p)))
LINKS    := $(BUILD)/bin/mailq $(BUILD)/bin/newaliases
UNITS    := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))

# ---- targets people use

all: setup
	@$(MAKE) --no-print-directory programs

help:
	@echo 'make            set up what is missing, build everything into $(BUILD)/bin and $(BUILD)/libexec'
	@echo 'make demo       build, send real mail through an instance on 127.0.0.1, show what happened'
	@echo 'make check      build, run all tests; a line a test, and a summary'
	@echo 'make unit e2e   parts of it        make asan   unit tests with AddressSanitizer and UBSan'
	@echo 'make fuzz       run the fuzz harnesses (SECONDS=60 each)'
	@echo 'make install    into PREFIX=$(PREFIX) (DESTDIR=), and make the users'
	@echo 'make format tags clean'

setup:
	@CDB_DIR='$(CDB_DIR)' conf/setup

programs: $(BINARIES) $(LINKS)

check: setup
	@$(MAKE) --no-print-directory programs units fuzzers
	@tests/run all $(BUILD)

unit e2e peers: setup
	@$(MAKE) --no-print-directory programs units fuzzers
	@tests/run $@ $(BUILD)

demo: all
	@tests/demo $(BUILD)

asan: setup
	@$(MAKE) --no-print-directory BUILD=build-asan SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' units fuzzers
	@tests/run unit build-asan

units: $(UNITS)
fuzzers: $(FUZZERS)

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

tags:
	ctags -R common conf smtpd queue deliver resolve

clean:
	rm -rf build build-asan

# ---- how things are made

.SECONDEXPANSION:
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# what tests link: everything but the files with a main()
MAINS   := conf/heloise.c $(foreach p,$(filter-out bin_heloise,$(PROGRAMS)),$(firstword $($(p)_SRC)))
TESTED  := $(sort $(COMMON_SRC) $(foreach p,$(PROGRAMS),$($(p)_SRC)))
$(BUILD)/tests/tested.a: $$(call objects,$$(filter-out $$(MAINS),$$(TESTED)))
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/common.a: $(call objects,$(COMMON_SRC))
	@rm -f $@
	ar rcs $@ $^

$(BINARIES): $(BUILD)/%: $$(call objects,$$($$(subst /,_,$$*)_SRC)) $(BUILD)/common.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $($(subst /,_,$*)_LIBS) $(LIBS)

$(LINKS): $(BUILD)/bin/sendmail
	ln -sf sendmail $@

$(UNITS): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/tests/tested.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(WRAP_$*) -o $@ $^ -lcmocka -lunbound $(LIBS)

# a fuzz harness replays its corpus here; `make fuzz` builds it with libFuzzer instead
$(FUZZERS): $(BUILD)/tests/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/replay.o $(BUILD)/tests/tested.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lunbound $(LIBS)

SECONDS ?= 60
fuzz: setup
	@$(MAKE) --no-print-directory BUILD=build-fuzz CC=clang SANITIZE='-fsanitize=fuzzer-no-link,address,undefined' libfuzzers
	@tests/run fuzz build-fuzz $(SECONDS)

libfuzzers: $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/tests/tested.a
	@mkdir -p $(@D)
	$(CC) -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $^ -lunbound $(LIBS)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

.PHONY: all help setup programs check unit e2e peers demo asan units fuzzers fuzz libfuzzers format tags clean

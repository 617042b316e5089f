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
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed $(SANITIZE) $(LDFLAGS)

# tinycdb is unpacked privately on Debian, where its header and libowfat's cannot be
# installed together; it is linked ahead of libowfat, whose cdb functions differ.
CDB_DIR    ?= build/tinycdb
ifeq ($(origin CDB_CFLAGS),undefined)
CDB_CFLAGS := -isystem $(CDB_DIR)/include
CDB_HEADER := $(CDB_DIR)/include/cdb.h
endif
CDB_LIBS   ?= $(CDB_DIR)/libcdb.a
OWFAT_LIBS ?= -lowfat
LIBS        = $(CDB_LIBS) $(OWFAT_LIBS) -ljansson -lxxhash -lseccomp -lidn2 -lssl -lcrypto -lgsasl -lcrypt -lpthread

COMMON_SRC   := $(patsubst %,common/%.c,wire chan loop log program settings table route ip units \
                verdict instance address xtext hello access verbs content header retry peerwords localuser confine json tls tls_trust eightbit write aside libexec service sasl base64 dnslist idna)
MESSAGE_SRC  := queue/envelope.c queue/notify.c queue/history.c queue/halfline.c queue/dialogue.c
ASK_SRC      := resolve/ask.c resolve/answer.c resolve/mx.c
INSPECT_SRC  := $(patsubst %,queue/%.c,inspect sight request filter why story show_transcript show_content mailq stats \
                verify survey archive archive_out import import_fault act waiting line clock tally destination transcript clearing)
STORE_SRC    := $(patsubst %,queue/%.c,store store_flight flights journal journal_read journal_ring ring_segments ring_groups ring_notes) $(MESSAGE_SRC)
SEVENBIT_SRC := $(patsubst %,deliver/%.c,sevenbit sevenbody encodedword transfer mime window fold parameter)
ATTEMPT_SRC  := $(patsubst %,deliver/%.c,attempt attempt_results attempt_hosts client client_judge client_greet client_keep transaction transaction_one body conn spoken reply ehlo ladder report peers peers_learn cardfile \
                offers starttls statedelay notes targets past) \
                $(SEVENBIT_SRC) $(ASK_SRC)
PROBE_SRC    := $(patsubst %,deliver/%.c,probe probe_message probe_envelope probe_dns) $(ATTEMPT_SRC) resolve/lookup.c resolve/askers.c
COMMANDS_SRC := $(patsubst %,queue/%.c,command desk choice act_command verify_command export_command progress harmless) \
                $(INSPECT_SRC) deliver/peers_command.c deliver/offers_report.c $(PROBE_SRC)

# one session, without its socket: what heloise-smtpd serves and `heloise access test` plays
SESSION_SRC  := $(patsubst %,smtpd/%.c,session verbtable command verb_hello verb_mail verb_rcpt verb_data verb_bdat verb_starttls verb_xclient verb_auth verb_other \
                bdat enddata complete received access_check judge decide stress sender)

CLIENTDNS_SRC := smtpd/clientdns.c smtpd/dnsanswers.c smtpd/asklink.c smtpd/slots.c

CONF_SRC     := $(patsubst %,conf/%.c,run children listen status build tabletypes lines getset init defaults owner flush certificates selfsigned tickets user_command) smtpd/password.c

bin_heloise_SRC             := conf/heloise.c conf/verbs_command.c conf/access_command.c smtpd/census.c smtpd/limits.c $(CLIENTDNS_SRC) $(SESSION_SRC) $(CONF_SRC) $(COMMANDS_SRC) $(STORE_SRC)
bin_heloise_LIBS            := -lunbound
bin_sendmail_SRC            := queue/sendmail.c queue/arguments.c queue/identity.c queue/handin.c queue/submit.c queue/drop.c queue/envelope.c deliver/encodedword.c
libexec_heloise-smtpd_SRC   := $(patsubst %,smtpd/%.c,smtpd listener connection stream proxy balancer census tls_server tls_names tls_tickets neighbours handoff knows login userslink \
                               gate limits) $(SESSION_SRC) $(CLIENTDNS_SRC) resolve/answer.c
libexec_heloise-pam_SRC     := smtpd/pam.c smtpd/pam_children.c
libexec_heloise-pam_LIBS    := -lpam
libexec_heloise-auth_SRC    := $(patsubst %,smtpd/%.c,auth authlink exchange scram proof backend backend_pam backend_users backend_dovecot dovecot dovecot_reply password authlimit workers)
libexec_heloise-intake_SRC  := $(patsubst %,queue/%.c,intake clients receive commit dropbox drop survey transcript clearing) $(STORE_SRC)
libexec_heloise-queue_SRC   := $(patsubst %,queue/%.c,manager news pastclock names work work_settle work_results work_times due owed schedule recovery concurrency rate flush endings \
                               spawners reports control orders showers) \
                               $(INSPECT_SRC) $(STORE_SRC)
libexec_heloise-bounce_SRC  := $(patsubst %,queue/%.c,bounce compose report report_words letter original story inject) $(MESSAGE_SRC)
libexec_heloise-deliver_SRC := $(patsubst %,deliver/%.c,deliver spawn jobs stems relay peers peers_learn cardfile offers) $(MESSAGE_SRC)
libexec_heloise-stem_SRC    := deliver/stem.c deliver/succession.c deliver/heir.c $(ATTEMPT_SRC) $(MESSAGE_SRC)
libexec_heloise-local_SRC   := deliver/local.c deliver/localspawn.c deliver/localjob.c deliver/localchild.c deliver/forward.c deliver/deliveredto.c deliver/maildir.c $(MESSAGE_SRC)
libexec_heloise-resolve_SRC := resolve/resolve.c resolve/askers.c resolve/trust.c resolve/lookup.c resolve/answer.c
libexec_heloise-resolve_LIBS := -lunbound

PROGRAMS := $(patsubst %_SRC,%,$(filter bin_%_SRC libexec_%_SRC,$(.VARIABLES)))
BINARIES := $(foreach p,$(PROGRAMS),$(BUILD)/$(subst _,/,$(p)))
LINKS    := $(BUILD)/bin/mailq $(BUILD)/bin/newaliases
SCRIPTS  := $(BUILD)/libexec/heloise-users
MANUALS  := $(wildcard */*.[1-8]) $(BUILD)/man/heloise-settings.5 $(BUILD)/man/heloise-log.7
UNITS    := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
BENCHERS := $(patsubst tests/bench/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))

# ---- targets people use

all: setup
	@$(MAKE) --no-print-directory programs

help:
	@echo 'make            set up what is missing, build everything into $(BUILD)/bin and $(BUILD)/libexec'
	@echo 'make demo       build, send real mail through an instance on 127.0.0.1, show what happened'
	@echo 'make check      build, run all tests; a line a test, and a summary'
	@echo 'make crash      programs killed, calls failing, power cut at every place: an hour or two'
	@echo 'make unit e2e   parts of it        make asan   unit tests with AddressSanitizer and UBSan'
	@echo 'make fuzz       run the fuzz harnesses (SECONDS=60 each)'
	@echo 'make clients    real mail programs send through an instance: which can'
	@echo 'make zoo MTA=HOST:PORT   play the scripted peers against another mail system'
	@echo 'make bench      beside Postfix, OpenSMTPD and Exim (tests/bench/mtas says what it needs)'
	@echo 'make bench-queue   what a million waiting messages cost (WAITING=1000000)'
	@echo 'make bench-sessions   what sessions cost, and how fast they are, beside Postfix (HELD=10000)'
	@echo 'make install    into PREFIX=$(PREFIX) (DESTDIR=), and make the users'
	@echo 'make format tags clean'

setup:
	@CDB_DIR='$(CDB_DIR)' conf/setup

programs: $(BINARIES) $(LINKS) $(SCRIPTS) $(MANUALS)

setup-tests: setup
	@CDB_DIR='$(CDB_DIR)' conf/setup tests

check: setup-tests
	@$(MAKE) --no-print-directory programs units fuzzers clocked benchers
	@tests/run all $(BUILD)

unit e2e peers crash: setup-tests
	@$(MAKE) --no-print-directory programs units fuzzers clocked benchers
	@tests/run $@ $(BUILD)

# real mail programs that send to us
clients: all
	@tests/clients/packages $(BUILD)/clients
	@CLIENT_PACKAGES=$(abspath $(BUILD)/clients) python3 tests/clients/test_clients.py $(BUILD)

# another mail system: tests/peers/README
zoo:
	@tests/peers/zoo $(MTA) $(ROWS)

bench: all
	@tests/bench/mtas $(BUILD) $(PARTS)

bench-queue: all
	@$(MAKE) --no-print-directory benchers
	@tests/bench/queue $(BUILD)

bench-sessions: all
	@$(MAKE) --no-print-directory benchers
	@tests/bench/sessions $(BUILD)

demo: all
	@tests/demo $(BUILD)

asan: setup
	@$(MAKE) --no-print-directory BUILD=build-asan SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' units fuzzers
	@tests/run unit build-asan

units: $(UNITS)
fuzzers: $(FUZZERS)
benchers: $(BENCHERS)

# as root and without DESTDIR it makes the users too, and sendmail setgid hldrop; a package
# does both when it is installed
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec
	install -m 755 $(BUILD)/bin/heloise $(BUILD)/bin/sendmail $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(filter $(BUILD)/libexec/%,$(BINARIES) $(SCRIPTS)) $(DESTDIR)$(PREFIX)/libexec
	ln -sf sendmail $(DESTDIR)$(PREFIX)/bin/mailq
	ln -sf sendmail $(DESTDIR)$(PREFIX)/bin/newaliases
	for m in $(MANUALS); do \
	  install -D -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/} || exit 1; \
	done
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then \
	  $(PREFIX)/libexec/heloise-users && chgrp hldrop $(PREFIX)/bin/sendmail && \
	  chmod 2755 $(PREFIX)/bin/sendmail; \
	else \
	  echo 'not done: as root, PREFIX/libexec/heloise-users; sendmail group hldrop, mode 2755'; \
	fi

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

tags:
	ctags -R common conf smtpd queue deliver resolve

clean:
	rm -rf build build-asan

# ---- how things are made

.SECONDEXPANSION:
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

ifdef CDB_HEADER
$(CDB_HEADER):
	@echo '$@ is missing: run make setup first, or say where tinycdb is with CDB_CFLAGS and CDB_LIBS' >&2
	@false
endif

$(BUILD)/obj/%.o: %.c | $(CDB_HEADER)
	@mkdir -p $(@D)
	@echo 'CC $<'
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# what tests link: everything but the files with a main()
MAINS   := conf/heloise.c $(foreach p,$(filter-out bin_heloise,$(PROGRAMS)),$(firstword $($(p)_SRC)))
TESTED  := $(sort $(COMMON_SRC) $(foreach p,$(PROGRAMS),$($(p)_SRC)))
$(BUILD)/tests/tested.a: $$(call objects,$$(filter-out $$(MAINS),$$(TESTED)))
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/common.a: $(call objects,$(COMMON_SRC))
	@rm -f $@
	@ar rcs $@ $^

$(BINARIES): $(BUILD)/%: $$(call objects,$$($$(subst /,_,$$*)_SRC)) $(BUILD)/common.a
	@mkdir -p $(@D)
	@echo 'LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $($(subst /,_,$*)_LIBS) $(LIBS)

# the same programs with a wall clock that a test can set
CLOCKED := $(foreach b,$(BINARIES),$(BUILD)/clocked/$(b:$(BUILD)/%=%))
clocked: $(CLOCKED)
$(CLOCKED): $(BUILD)/clocked/%: $$(call objects,$$($$(subst /,_,$$*)_SRC)) $(BUILD)/obj/tests/e2e/clock_hook.o $(BUILD)/common.a
	@mkdir -p $(@D)
	@echo 'LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $($(subst /,_,$*)_LIBS) $(LIBS)

$(LINKS): $(BUILD)/bin/sendmail
	@ln -sf sendmail $@

WRAP_test_localuser := -Wl,--wrap=getpwnam_r,--wrap=stat
WRAP_test_jobs := -Wl,--wrap=stems_birth,--wrap=stems_renew,--wrap=relay_tell
WRAP_test_client := -Wl,--wrap=conn_open,--wrap=conn_reply,--wrap=conn_clock
WRAP_test_conn := -Wl,--wrap=poll
WRAP_test_init := -Wl,--wrap=fsync
WRAP_test_local := -Wl,--wrap=program_table
WRAP_test_schedule := -Wl,--wrap=loop_now,--wrap=program_table,--wrap=due_job,--wrap=work_batch_over,--wrap=work_shut_out,--wrap=due_is_elsewhere,--wrap=work_reroute
WRAP_test_due := -Wl,--wrap=program_table,--wrap=schedule_add
WRAP_test_news := -Wl,--wrap=flight_next,--wrap=flight_twin,--wrap=work_file
WRAP_test_work := -Wl,--wrap=store_read,--wrap=store_corrupt
WRAP_test_chan := -Wl,--wrap=sendmsg,--wrap=recvmsg
WRAP_test_store := -Wl,--wrap=fdatasync,--wrap=fsync,--wrap=renameat2
WRAP_test_journal_ring := -Wl,--wrap=pwritev,--wrap=pwrite,--wrap=fdatasync,--wrap=unlinkat,--wrap=fsync
WRAP_test_store_flight := -Wl,--wrap=write,--wrap=renameat2
WRAP_test_receive := -Wl,--wrap=fdatasync,--wrap=fsync,--wrap=writev,--wrap=pwritev
WRAP_test_import := -Wl,--wrap=fdatasync,--wrap=fsync,--wrap=renameat2
WRAP_test_maildir := -Wl,--wrap=fsync,--wrap=write

$(SCRIPTS): $(BUILD)/libexec/heloise-%: conf/%
	@mkdir -p $(@D)
	@cp $< $@

# heloise init carries the default tables in itself
$(BUILD)/obj/conf/defaults.o: $(wildcard conf/default/*)

$(BUILD)/obj/conf/manual: $(BUILD)/obj/conf/manual.o $(BUILD)/common.a
	@echo 'LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/man/heloise-settings.5 $(BUILD)/man/heloise-log.7: $(BUILD)/obj/conf/manual
	@mkdir -p $(@D)
	@$< $(basename $(patsubst heloise-%,%,$(@F))) >$@.new
	@mv $@.new $@

$(UNITS): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/tests/tested.a
	@mkdir -p $(@D)
	@echo 'LD $@'
	@$(CC) $(ALL_LDFLAGS) $(WRAP_$*) -o $@ $^ -lcmocka -lunbound -lpam $(LIBS)

# a fuzz harness replays its corpus here; `make fuzz` builds it with libFuzzer instead
$(FUZZERS): $(BUILD)/tests/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/replay.o $(BUILD)/tests/tested.a
	@mkdir -p $(@D)
	@echo 'LD $@'
	@$(CC) $(ALL_LDFLAGS) -o $@ $^ -lunbound -lpam $(LIBS)

# tools of bench-queue: fill makes waiting messages by the store's own code, but unflushed
WRAP_fill := -Wl,--wrap=fdatasync,--wrap=fsync,--wrap=sync_file_range
$(BENCHERS): $(BUILD)/tests/%: $(BUILD)/obj/tests/bench/%.o $(BUILD)/tests/tested.a
	@echo 'LD $@'
	@$(CC) $(ALL_LDFLAGS) $(WRAP_$*) -o $@ $^ -lunbound -lpam $(LIBS)

SECONDS ?= 60
fuzz: setup
	@$(MAKE) --no-print-directory BUILD=build-fuzz CC=clang SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined' libfuzzers
	@tests/run fuzz build-fuzz $(SECONDS)

libfuzzers: $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/tests/tested.a
	@mkdir -p $(@D)
	@echo 'LD $@'
	@$(CC) -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $^ -lunbound -lpam $(LIBS)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

.PHONY: all help setup setup-tests programs clocked install check unit e2e peers crash clients zoo bench bench-queue bench-sessions demo asan units fuzzers fuzz libfuzzers format tags clean

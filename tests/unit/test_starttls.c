/* test_starttls.c - when a session is to be encrypted, and when a failure of it is believed */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/settings.h"
#include "common/tls.h"
#include "common/verbs.h"
#include "deliver/starttls.h"

#define NOW 1800000000U
#define DAY 86400U
#define NEEDED (IF_TLS_NEEDED | IF_NO_CLEAR | IF_NEEDED)
#define GUARDED (IF_TLS_HISTORY | IF_NO_CLEAR | IF_NEEDED)

/* facts on the card: since, and for how long still in force */
struct known {
  enum peers_fact fact;
  uint32_t ago;
  int32_t left;
};

static const struct {
  const char *what;
  struct known known[2];
  enum peer_tls tls;
  unsigned int tried; /* how long ago the message was, before; 0: never */
  int is_no, is_warn, is_in_clear; /* tls no, tls-history warn, TLS failed in this attempt */
  uint32_t facts;
  int is_off, is_by_card;
} cases[] = {
  {.what = "nothing known"},
  {.what = "switched off", .is_no = 1, .is_off = 1},
  {.what = "switched off, not for this peer", .is_no = 1, .tls = PEER_TLS_MAY},
  {.what = "not for this peer", .tls = PEER_TLS_NONE, .is_off = 1},
  {.what = "not for this peer, for all its history", .known = {{FACT_TLS_SEEN, DAY, DAY}},
   .tls = PEER_TLS_NONE, .is_off = 1},
  {.what = "encrypt", .tls = PEER_TLS_ENCRYPT, .facts = NEEDED},
  {.what = "encrypt, whatever the settings say", .tls = PEER_TLS_ENCRYPT, .is_no = 1, .facts = NEEDED},
  {.what = "encrypt, whatever the card says", .known = {{FACT_TLS_BROKEN, 1, 100}},
   .tls = PEER_TLS_ENCRYPT, .facts = NEEDED},
  {.what = "verify", .tls = PEER_TLS_VERIFY, .facts = NEEDED | IF_CERT_NEEDED},
  {.what = "encrypt, though it failed just now", .tls = PEER_TLS_ENCRYPT, .is_in_clear = 1,
   .facts = NEEDED},
  {.what = "failed just now", .is_in_clear = 1, .is_off = 1},
  {.what = "broken", .known = {{FACT_TLS_BROKEN, 1, 100}}, .is_off = 1, .is_by_card = 1},
  {.what = "broken, but asked for", .known = {{FACT_TLS_BROKEN, 1, 100}}, .tls = PEER_TLS_MAY},
  {.what = "on probation", .known = {{FACT_TLS_BROKEN, 9999, -1}}},
  {.what = "refused", .known = {{FACT_NO_STARTTLS, 1, 100}}, .is_off = 1, .is_by_card = 1},
  {.what = "4yz", .known = {{FACT_STARTTLS_4YZ, 1, 100}}, .is_off = 1, .is_by_card = 1},
  {.what = "injected", .known = {{FACT_INJECTED, 1, 100}}, .facts = NEEDED},
  {.what = "injected, but not used", .known = {{FACT_INJECTED, 1, 100}}, .tls = PEER_TLS_NONE,
   .is_off = 1},
  {.what = "seen", .known = {{FACT_TLS_SEEN, DAY, DAY}}, .facts = GUARDED},
  {.what = "seen long ago", .known = {{FACT_TLS_SEEN, 90 * DAY, -1}}},
  {.what = "seen, warn", .known = {{FACT_TLS_SEEN, DAY, DAY}}, .is_warn = 1},
  {.what = "seen, failed a minute ago", .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_TLS_MISSING, 60, DAY}},
   .facts = GUARDED},
  {.what = "seen, failed a minute ago for this message too",
   .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_TLS_MISSING, 60, DAY}}, .tried = 60},
  {.what = "seen, failed a minute ago, the message was tried before that only",
   .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_EHLO_4YZ, 60, DAY}}, .tried = 61, .facts = GUARDED},
  {.what = "seen, refused a minute ago for this message too",
   .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_NO_STARTTLS, 60, DAY}}, .tried = 59},
  {.what = "seen, warn, broken just now: tried all the same",
   .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_TLS_BROKEN, 60, DAY}}, .is_warn = 1},
  {.what = "seen, a message that failed for something else", .known = {{FACT_TLS_SEEN, DAY, DAY}},
   .tried = 5, .facts = GUARDED},
  {.what = "seen, failing for ten minutes",
   .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_TLS_MISSING, 600, DAY}}},
  {.what = "seen, an old failure is no proof",
   .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_TLS_MISSING, 600, -1}}, .facts = GUARDED},
  {.what = "seen, broken just now", .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_TLS_BROKEN, 60, DAY}},
   .facts = GUARDED},
  {.what = "seen, broken for an hour", .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_TLS_BROKEN, 3600, DAY}},
   .is_off = 1, .is_by_card = 1},
  {.what = "seen, EHLO hangs", .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_EHLO_HANG, 60, DAY}},
   .facts = GUARDED},
  {.what = "seen, EHLO hangs for an hour",
   .known = {{FACT_TLS_SEEN, DAY, DAY}, {FACT_EHLO_HANG, 3600, DAY}}},
};

static struct session s;
static struct attempt attempt;
static struct attempt_given given;
static struct target target;

static void start(size_t i)
{
  memset(&s, 0, sizeof s);
  s.attempt = &attempt;
  s.target = &target;
  attempt.given = &given;
  attempt.now = NOW;
  attempt.tried_at = cases[i].tried ? NOW - cases[i].tried : 0;
  given.report = -1;
  target.is_in_clear = cases[i].is_in_clear;
  s.words.tls = cases[i].tls;
  settings.tls = !cases[i].is_no;
  settings.tls_history = cases[i].is_warn ? "warn" : "defer";
  for (size_t k = 0; k < 2; k++)
    s.card.note[k] = (struct peers_note){.fact = (uint8_t)cases[i].known[k].fact,
                                         .last = NOW - cases[i].known[k].ago,
                                         .until = NOW + (uint32_t)cases[i].known[k].left};
}

static void test_prepare(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    start(i);
    starttls_prepare(&s);
    if (s.facts != cases[i].facts || ((s.off & VERB_STARTTLS) != 0) != cases[i].is_off ||
        s.is_tls_off_by_card != cases[i].is_by_card)
      fail_msg("%s: facts %lx, off %x, by card %d", cases[i].what, (unsigned long)s.facts, s.off,
               s.is_tls_off_by_card);
  }
}

/* a failure counts from when it was first seen, not from the last one */
static void test_failing_since(void **state)
{
  char place[] = "/tmp/test-starttls-XXXXXX";
  struct peers_news n = {.port = 25, .fact = FACT_TLS_MISSING, .row = "T2"};
  int dir = open(mkdtemp(place), O_RDONLY | O_DIRECTORY);
  struct peers *p = peers_open(dir);

  (void)state;
  assert_non_null(p);
  assert_int_equal(ip_parse("192.0.2.1", 9, &n.ip), 0);
  start(0);
  given.peers = p;
  peers_learn(p, &n, NOW - 700);
  peers_learn(p, &n, NOW - 60);
  n.fact = FACT_TLS_SEEN;
  peers_learn(p, &n, NOW - DAY);
  peers_card(p, &n.ip, n.port, &s.card);
  starttls_prepare(&s);
  assert_int_equal(s.facts, 0);
  s.attempt->now = NOW - 200;
  starttls_prepare(&s);
  assert_int_equal(s.facts, GUARDED);
  given.peers = NULL;
  peers_close(p);
  unlinkat(dir, "peers", 0);
  close(dir);
  rmdir(place);
}

static void test_offer(void **state)
{
  const char *why = "";

  (void)state;
  start(0);
  s.verbs = s.ehlo.verbs = VERB_STARTTLS | VERB_SIZE;
  starttls_offer(&s);
  assert_int_equal(s.facts, 0); /* no TLS here */
  assert_int_equal(tls_client_prepare(&why), 0);
  starttls_offer(&s);
  assert_int_equal(s.facts, IF_TLS_OFFERED);
  s.verbs = VERB_SIZE;
  starttls_offer(&s);
  assert_int_equal(s.facts, 0);
  s.is_tls_off_by_card = 1;
  starttls_offer(&s);
  assert_int_equal(s.facts, IF_TLS_CARD);
  s.ehlo.verbs = VERB_SIZE;
  starttls_offer(&s);
  assert_int_equal(s.facts, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_prepare), cmocka_unit_test(test_failing_since),
                                     cmocka_unit_test(test_offer)};

  return cmocka_run_group_tests_name("starttls", tests, NULL, NULL);
}

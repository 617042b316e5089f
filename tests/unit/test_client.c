/* test_client.c - a session with a peer that always has more to say: our clocks end it
 *
 * The connection is replaced: each reply comes at once and takes a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/settings.h"
#include "deliver/client.h"

#define PATIENCE 100000 /* replies to one command */

static const char *const *script; /* replies in order; the last one again and again */
static size_t said;
static uint64_t seconds;
static int other = -1; /* the peer's end, which says nothing */

uint64_t __wrap_conn_clock(void);
uint64_t __wrap_conn_clock(void)
{
  return 1000 * seconds;
}

enum saw __wrap_conn_open(struct conn *c, const struct ip *ip, uint16_t port, uint64_t timeout_ms);
enum saw __wrap_conn_open(struct conn *c, const struct ip *ip, uint16_t port, uint64_t timeout_ms)
{
  int pair[2];

  (void)ip;
  (void)port;
  (void)timeout_ms;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  memset(c, 0, offsetof(struct conn, in));
  c->fd = pair[0];
  other = pair[1];
  return SAW_REPLY;
}

enum saw __wrap_conn_reply(struct conn *c, struct reply *r, uint64_t deadline);
enum saw __wrap_conn_reply(struct conn *c, struct reply *r, uint64_t deadline)
{
  const char *text = script[said];
  enum reply_state state = REPLY_MORE;

  (void)c;
  (void)deadline;
  seconds++;
  if (seconds > PATIENCE)
    fail_msg("it listens for ever");
  if (script[said + 1])
    said++;
  reply_start(r);
  reply_feed(r, text, strlen(text), &state);
  return state == REPLY_WHOLE ? SAW_REPLY : SAW_GARBLED;
}

/* what a session is like before it is asked whether it may be kept, and for how long that is */
struct keeping {
  const char *what;
  uint64_t count, mail_max, transactions;
  uint64_t age, passed; /* seconds */
  int is_never, is_fallback, no_reuse, is_in_clear, has_spoken;
  uint64_t left; /* ms */
};

static void check_keeping(struct session *s, const struct keeping *k)
{
  uint64_t left;

  settings.session_reuse_count = k->count;
  settings.session_reuse_age = k->age * 1000;
  settings.session_reuse_idle = k->is_never ? 0 : 5000;
  s->ehlo.mail_max = k->mail_max;
  s->transactions = k->transactions;
  s->is_fallback = k->is_fallback;
  s->words.no_reuse = k->no_reuse;
  s->place.is_in_clear = k->is_in_clear;
  seconds = s->opened / 1000 + k->passed;
  if (k->has_spoken)
    assert_int_equal(write(other, "421 bye\r\n", 9), 9);
  left = client_stays(s);
  if (left != k->left)
    fail_msg("%s: kept for %llu ms", k->what, (unsigned long long)left);
  assert_string_equal(s->target->host, "peer.example");
}

static void play(const char *const *replies, enum ladder_do end, const struct keeping *keeping)
{
  static const char text[] = "Subject: x\r\n\r\nx\r\n";
  struct envelope_rcpt rcpt = {.address = (char *)"x@peer.example", .notify = (char *)"", .orcpt = (char *)""};
  struct attempt_given given = {.id = "x", .report = -1, .ask = -1};
  struct recipient r = {.rcpt = &rcpt};
  struct attempt a = {.given = &given, .n = 1, .recipient = &r, .now = 1800000000};
  struct target t = {.host = "peer.example", .port = 25};
  static struct session s;

  memset(&s, 0, sizeof s);
  script = replies;
  said = seconds = 0;
  ip_parse("192.0.2.1", 9, &t.ip);
  given.message = memfd_create("message", 0);
  assert_int_equal(write(given.message, text, sizeof text - 1), sizeof text - 1);
  a.env.id = (char *)"x";
  a.env.sender = (char *)"";
  a.env.body_len = sizeof text - 1;
  a.env.created = a.now;
  client_try(&s, &a, &t);
  assert_int_equal(s.end, end);
  if (keeping) {
    memset(&t, 0, sizeof t); /* its memory is another's now */
    check_keeping(&s, keeping);
  }
  client_leave(&s);
  client_free(&s);
  stralloc_free(&r.text);
  close(given.message);
  close(other);
}

static void test_after_quit(void **state)
{
  static const char *const replies[] = {"220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n",
                                        "354 x\r\n", "250 x\r\n", "500 what?\r\n", NULL};

  (void)state;
  play(replies, DO_GO_ON, NULL);
  assert_in_range(seconds, 6 + settings.timeout_quit / 1000, 8 + settings.timeout_quit / 1000);
}

static void test_after_the_dot(void **state)
{
  static const char *const replies[] = {"220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n",
                                        "354 x\r\n", "x\nx\nx\nx\nx\nx\nx\nx\nx\n", NULL};

  (void)state;
  play(replies, DO_LOST, NULL);
  assert_in_range(seconds, settings.timeout_data_end / 1000, 10 + settings.timeout_data_end / 1000);
}

static void test_keeping(void **state)
{
  static const char *const replies[] = {"220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n",
                                        "354 x\r\n", "250 x\r\n", "250 x\r\n", NULL};
  static const struct keeping cases[] = {
    {"young", .count = 100, .transactions = 1, .age = 300, .passed = 10, .left = 290000},
    {"old", .count = 100, .transactions = 1, .age = 300, .passed = 300},
    {"of no age", .count = 100, .transactions = 1, .age = 0},
    {"clock gone far", .count = 100, .transactions = 1, .age = 300, .passed = 90000},
    {"one more message", .count = 3, .transactions = 2, .age = 300, .left = 300000},
    {"no more messages", .count = 3, .transactions = 3, .age = 300},
    {"only one", .count = 1, .transactions = 1, .age = 300},
    {"MAILMAX", .count = 100, .mail_max = 2, .transactions = 1, .age = 300, .left = 300000},
    {"MAILMAX reached", .count = 100, .mail_max = 2, .transactions = 2, .age = 300},
    {"fallback", .count = 100, .transactions = 1, .age = 300, .passed = 10, .is_fallback = 1,
     .left = 20000},
    {"fallback, not young", .count = 100, .transactions = 1, .age = 300, .passed = 31,
     .is_fallback = 1},
    {"fallback, short age", .count = 100, .transactions = 1, .age = 20, .is_fallback = 1,
     .left = 20000},
    {"never", .count = 100, .transactions = 1, .age = 300, .is_never = 1},
    {"no-reuse", .count = 100, .transactions = 1, .age = 300, .no_reuse = 1},
    {"in clear where TLS failed", .count = 100, .transactions = 1, .age = 300, .is_in_clear = 1},
    {"421 is there", .count = 100, .transactions = 1, .age = 300, .has_spoken = 1},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    play(replies, DO_GO_ON, &cases[i]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_after_quit),
                                     cmocka_unit_test(test_after_the_dot),
                                     cmocka_unit_test(test_keeping)};

  settings.attempt_recipients = settings.attempt_sessions = settings.attempt_connections = 10;
  settings.timeout_slow = settings.timeout_block = 600000;
  settings.timeout_quit = 5000;
  settings.timeout_data_end = 1200000;
  return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}

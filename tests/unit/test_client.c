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

static void play(const char *const *replies, enum ladder_do end)
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
  play(replies, DO_GO_ON);
  assert_in_range(seconds, 6 + settings.timeout_quit / 1000, 8 + settings.timeout_quit / 1000);
}

static void test_after_the_dot(void **state)
{
  static const char *const replies[] = {"220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n",
                                        "354 x\r\n", "x\nx\nx\nx\nx\nx\nx\nx\nx\n", NULL};

  (void)state;
  play(replies, DO_LOST);
  assert_in_range(seconds, settings.timeout_data_end / 1000, 10 + settings.timeout_data_end / 1000);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_after_quit),
                                     cmocka_unit_test(test_after_the_dot)};

  settings.attempt_recipients = settings.attempt_sessions = settings.attempt_connections = 10;
  settings.timeout_slow = settings.timeout_block = 600000;
  settings.timeout_quit = 5000;
  settings.timeout_data_end = 1200000;
  return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}

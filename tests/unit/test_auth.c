/* test_auth.c - AUTH as smtpd sees it, told as scripts; and who may send */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "smtpd/sender.h"
#include "tests/unit/smtpsession.h"

static const char *const tables[][3] = {
  {"settings", "hostname", "mx.example.org"},
  {"settings", "auth-in-clear", "loopback"},
  {"settings", "command-length-limit", "512"},
  {"settings", "error-limit", "1000"},
  {"domains", "example.org", "local"},
  {"access", "client:192.0.2.0/24", "relay"},
  {"verbs", "203.0.113.9/32", "-auth"},
  {"tables", "senders", ""},
  {"senders", "alice@example.org", "alice Bob"},
  {"senders", "@example.org", "*"},
  {"senders", "boss@example.org", "boss"},
  {"senders", "@news.example", "newsletter"},
  {NULL, NULL, NULL},
};

#define HELLO "EHLO a.example\r\n"
#define OK_ALICE "b2sgYWxpY2U="     /* "ok alice" */
#define ALL "250-mx.example.org\n250-SIZE\n250-PIPELINING\n250-8BITMIME\n250-DSN\n250-ENHANCEDSTATUSCODES\n250-SMTPUTF8\n250-CHUNKING\n250-LIMITS\n"
#define LOGIN {HELLO, "*"}, {"AUTH PLAIN " OK_ALICE "\r\n", "235 2.7.0"}

enum { CLEAR, TLS };

static const struct script {
  const char *name, *client;
  enum service_number service;
  int has_tls;
  const char *step[12][2]; /* what is sent, and how the lines of the answer begin; "*": any */
} scripts[] = {
  {"offered in TLS", "203.0.113.1", SERVICE_SUBMISSION, TLS,
   {{HELLO, ALL "250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\n250 HELP"}}},
  {"not offered in clear", "203.0.113.1", SERVICE_SUBMISSION, CLEAR,
   {{HELLO, ALL "250 HELP"},
    {"AUTH PLAIN " OK_ALICE "\r\n", "538 5.7.11"},
    {"MAIL FROM:<alice@example.org>\r\n", "530 5.7.0"}}},
  {"loopback in clear, unbound", "127.0.0.9", SERVICE_SUBMISSION, CLEAR,
   {{HELLO, ALL "250-AUTH SCRAM-SHA-256 PLAIN LOGIN\n250 HELP"},
    {"AUTH SCRAM-SHA-256-PLUS\r\n", "504 5.5.4 mechanism SCRAM-SHA-256-PLUS"},
    {"AUTH PLAIN " OK_ALICE "\r\n", "235 2.7.0"}}},
  {"not on mx", "203.0.113.1", SERVICE_MX, TLS,
   {{HELLO, ALL "250 HELP"}, {"AUTH PLAIN " OK_ALICE "\r\n", "502 5.5.1"}}},
  {"switched off", "203.0.113.9", SERVICE_SUBMISSION, TLS,
   {{HELLO, ALL "250 HELP"}, {"AUTH PLAIN " OK_ALICE "\r\n", "502 5.5.1"}}},
  {"order", "203.0.113.1", SERVICE_SUBMISSION, TLS,
   {{"AUTH PLAIN " OK_ALICE "\r\n", "503 5.5.1"},
    {HELLO, "*"},
    {"AUTH\r\n", "501 5.5.4"},
    {"AUTH NTLM " OK_ALICE "\r\n", "504 5.5.4 mechanism of that name"},
    {"auth plain " OK_ALICE "\r\n", "235 2.7.0"},
    {"AUTH PLAIN " OK_ALICE "\r\n", "503 5.5.1"},
    {"RSET\r\n" HELLO, "*"},
    {"AUTH PLAIN " OK_ALICE "\r\n", "503 5.5.1"}}},
  {"within a transaction", "192.0.2.1", SERVICE_SUBMISSION, TLS,
   {{HELLO, "*"},
    {"MAIL FROM:<x@elsewhere.example>\r\n", "250"},
    {"AUTH PLAIN " OK_ALICE "\r\n", "503 5.5.1"},
    {"RCPT TO:<alice@example.org>\r\n", "250"},
    {"AUTH PLAIN " OK_ALICE "\r\n", "503 5.5.1"},
    {"RSET\r\nAUTH PLAIN " OK_ALICE "\r\n", "250\n235"}}},
  {"a challenge", "203.0.113.1", SERVICE_SUBMISSION, TLS,
   {{HELLO, "*"}, {"AUTH LOGIN\r\n", "334 d2hhdD8="}, {OK_ALICE "\r\n", "235 2.7.0"}}},
  {"an empty initial response", "203.0.113.1", SERVICE_SUBMISSION, TLS,
   {{HELLO, "*"}, {"AUTH PLAIN =\r\n", "334 "}, {"\r\n", "334 "}, {"eA==\r\n", "535 5.7.8"},
    {"AUTH PLAIN " OK_ALICE "\r\n", "235"}}},
  {"cancelled, and no base64", "203.0.113.1", SERVICE_SUBMISSION, TLS,
   {{HELLO, "*"},
    {"AUTH LOGIN\r\n*\r\n", "334\n501 5.7.0"},
    {"AUTH LOGIN\r\n!\r\n", "334\n501 5.5.2"},
    {"AUTH LOGIN\r\neA=\r\n", "334\n501 5.5.2"},
    {"AUTH PLAIN *\r\n", "501 5.5.2"},
    {"AUTH PLAIN eA== x\r\n", "501 5.5.2"},
    {"AUTH PLAIN " OK_ALICE "\r\n", "235"}}},
  {"login needed", "203.0.113.1", SERVICE_SUBMISSION, TLS,
   {{HELLO, "*"},
    {"MAIL FROM:<alice@example.org>\r\n", "530 5.7.0"},
    {"AUTH PLAIN " OK_ALICE "\r\n", "235"},
    {"MAIL FROM:<alice@example.org>\r\n", "250"},
    {"RCPT TO:<x@elsewhere.example>\r\n", "250"}}},
  {"who may relay need not log in", "192.0.2.1", SERVICE_SUBMISSION, TLS,
   {{HELLO, "*"}, {"MAIL FROM:<x@elsewhere.example>\r\n", "250"}, {"RCPT TO:<x@elsewhere.example>\r\n", "250"}}},
  {"senders", "203.0.113.1", SERVICE_SUBMISSION, TLS,
   {LOGIN,
    {"MAIL FROM:<boss@example.org>\r\n", "553 5.7.1 login alice may"},
    {"MAIL FROM:<Alice@Example.org>\r\nRSET\r\n", "250\n250"},
    {"MAIL FROM:<sales@example.org>\r\nRSET\r\n", "250\n250"},
    {"MAIL FROM:<x@news.example>\r\n", "553"},
    {"MAIL FROM:<alice@mx.example.org>\r\nRSET\r\n", "250\n250"}, /* her own, without a line */
    {"MAIL FROM:<alice@elsewhere.example>\r\n", "553"},
    {"MAIL FROM:<>\r\nRSET\r\n", "250\n250"},
    {"MAIL FROM:<alice>\r\n", "250"}}},
};

static void check_lines(const struct script *sc, const struct session *s, size_t from, const char *want)
{
  size_t at = from;

  if (strcmp(want, "*") == 0)
    return;
  while (*want) {
    size_t n = strcspn(want, "\n");
    const char *end = at < s->out.len ? memchr(s->out.s + at, '\n', s->out.len - at) : NULL;
    if (!end || s->out.len - at < n || memcmp(s->out.s + at, want, n) != 0)
      fail_msg("%s: wanted %.*s, got %.*s", sc->name, (int)n, want, (int)(s->out.len - from), s->out.s + from);
    at = (size_t)(end + 1 - s->out.s);
    want += n + (want[n] != 0);
  }
  if (at != s->out.len)
    fail_msg("%s: too much: %.*s", sc->name, (int)(s->out.len - at), s->out.s + at);
}

static void open_session(struct session *s, const char *client, enum service_number service, int has_tls)
{
  struct ip ip;

  assert_int_equal(ip_parse(client, strlen(client), &ip), 0);
  fake.mechanisms = MECHANISMS_ALL;
  session_start(s, &fake_world, service_row(service), &ip, 4711);
  s->tls.is_on = has_tls;
}

static void run_scripts(void **state)
{
  static const size_t pieces[] = {100000, 1};

  (void)state;
  for (size_t i = 0; i < 2 * sizeof scripts / sizeof *scripts; i++) {
    const struct script *sc = &scripts[i / 2];
    struct session s;
    open_session(&s, sc->client, sc->service, sc->has_tls);
    for (size_t k = 0; k < 12 && sc->step[k][0]; k++) {
      size_t before = s.out.len;
      fake_feed(&s, sc->step[k][0], strlen(sc->step[k][0]), pieces[i % 2]);
      check_lines(sc, &s, before, sc->step[k][1]);
    }
    session_close(&s);
  }
}

static void long_lines(void **state)
{
  static char line[20000], longer[14000 + sizeof "\r\nNOOP\r\n"];
  struct session s;
  size_t before;

  (void)state;
  open_session(&s, "203.0.113.1", SERVICE_SUBMISSION, TLS);
  fake_feed(&s, HELLO, strlen(HELLO), 100000);
  /* as long as RFC 4954 asks for, where other commands may have 512 bytes */
  memset(line, 'A', sizeof line);
  memcpy(line, "AUTH PLAIN ", 11);
  memcpy(line + 11 + 12272, "\r\n", 2);
  before = s.out.len;
  fake_feed(&s, line, 11 + 12272 + 2, 100000);
  assert_memory_equal(s.out.s + before, "535", 3);
  memset(longer, 'A', sizeof longer);
  memcpy(longer + 14000, "\r\nNOOP\r\n", sizeof "\r\nNOOP\r\n");
  memset(line, 'A', sizeof line);
  memcpy(line + 12284, "\r\n", 2);
  for (size_t piece = 1; piece < 100000; piece += 99998) {
    before = s.out.len;
    fake_feed(&s, "AUTH LOGIN\r\n", 12, 100000);
    fake_feed(&s, line, 12286, piece);
    assert_memory_equal(s.out.s + before, "334", 3);
    assert_non_null(memmem(s.out.s + before, s.out.len - before, "\n535", 4));
    before = s.out.len;
    fake_feed(&s, "AUTH LOGIN\r\n", 12, 100000);
    fake_feed(&s, longer, sizeof longer - 1, piece);
    assert_non_null(memmem(s.out.s + before, s.out.len - before, "\n500 5.5.6", 10));
    assert_memory_equal(s.out.s + s.out.len - 14, "250 2.0.0 Ok\r\n", 14);
  }
  assert_int_equal(s.doing, COMMAND);
  session_close(&s);
}

static void nobody_there(void **state)
{
  struct session s;

  (void)state;
  open_session(&s, "203.0.113.1", SERVICE_SUBMISSION, TLS);
  fake_feed(&s, HELLO, strlen(HELLO), 100000);
  fake.no_auth = 1;
  fake_feed(&s, "AUTH PLAIN eA==\r\n", 17, 100000);
  fake.no_auth = 0;
  assert_non_null(memmem(s.out.s, s.out.len, "\r\n454 4.7.0", 11));
  assert_int_equal(s.doing, COMMAND);
  fake_feed(&s, "AUTH LOGIN\r\n", 12, 100000);
  fake.no_auth = 1;
  fake_feed(&s, "eA==\r\n", 6, 100000);
  fake.no_auth = 0;
  assert_int_equal(s.doing, COMMAND);
  /* gone in the middle: nobody goes on with it */
  fake_feed(&s, "AUTH LOGIN\r\n", 12, 100000);
  assert_int_equal(s.doing, RESPONSE);
  fake.forgone = 0;
  session_end(&s, REPLY_TIMEOUT, "timeout");
  assert_true(fake.forgone > 0);
  session_close(&s);
}

static void empty_senders(void **state)
{
  (void)state;
  assert_true(sender_is_allowed(NULL, "alice", "anybody@elsewhere.example", "example.org"));
}

static int prepare(void **state)
{
  const char *bad;

  (void)state;
  fake.table = fake_tables(tables);
  return fake.table ? settings_load(fake.table, &bad) : -1;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(run_scripts),
    cmocka_unit_test(long_lines),
    cmocka_unit_test(nobody_there),
    cmocka_unit_test(empty_senders),
  };

  return cmocka_run_group_tests_name("auth", tests, prepare, NULL);
}

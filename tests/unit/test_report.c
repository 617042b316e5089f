/* test_report.c - failure reports: fields, folding, nothing hostile gets through */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "queue/report.h"

#define T0 1700000000

static struct envelope_rcpt rcpts[] = {
  {RCPT_FAILED, 1, 0, "bob@example.org", "", "rfc822;bob+2Bx@old.example", 0},
  {RCPT_DONE, 1, 0, "done@example.org", "", "", 0},
  {RCPT_FAILED, 1, 0, "never@example.org", "NEVER", "", 0},
  {RCPT_FAILED, 1, 0, "late@example.org", "DELAY,FAILURE", "", 0},
};

static const struct envelope envelope = {
  .id = "abc123", .sender = "alice@example.com", .envid = "id+2D+0Ax", .ret = "",
  .client = "x", .helo = "x", .protocol = "SMTP", .created = T0, .body_len = 100,
  .nrcpt = 4, .rcpt = rcpts};

static const char *const words[4][HISTORY_FIELDS] = {
  {"0", "perm", "5.1.1", "mx1.example", "mx1.example [192.0.2.1] said: 550 5.1.1 no such \\x22user\\x22 \\x0d\\x0aX: y"},
  {"3", "perm", "bogus", "", "delivery time expired: nobody answered"},
  {"9", "perm", "5.0.0", "", "out of range"},
  {"0", "perm", "5.1.1"},
};

static struct history_line line(size_t i, size_t n)
{
  struct history_line l = {.kind = 'o', .time = T0 + 60, .attempt = 1, .n = n};

  memcpy(l.field, words[i], sizeof words[i]);
  return l;
}

static void make(struct report *r, stralloc *out)
{
  *r = (struct report){.e = &envelope, .hostname = "mx.example.net", .to = "alice@example.com",
                       .boundary = "abc123.salt", .now = T0 + 100};
  r->outcome = report_outcomes(4);
  assert_non_null(r->outcome);
  for (size_t i = 0; i < 4; i++) {
    struct history_line l = line(i, i == 3 ? 3 : 5);
    assert_int_equal(report_note(r, &l), 0);
  }
  out->len = 0;
  assert_int_equal(report_begin(out, r), 0);
  assert_int_equal(report_end(out, r), 0);
  assert_true(stralloc_0(out));
  out->len--;
}

static void test_fields(void **state)
{
  static const char bob[] =
    "\r\n\r\nOriginal-Recipient: rfc822; bob+x@old.example\r\n"
    "Final-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    "Remote-MTA: dns; mx1.example\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1 no such \"user\" \\x0d\\x0aX: y\r\n"
    "Last-Attempt-Date: Tue, 14 Nov 2023 22:14:20 +0000\r\n";
  static const char late[] =
    "\r\n\r\nFinal-Recipient: rfc822; late@example.org\r\nAction: failed\r\nStatus: 5.0.0\r\n"
    "Diagnostic-Code: x-heloise; delivery time expired: nobody answered\r\n";
  static const char *const there[] = {
    bob,
    late,
    "To: <alice@example.com>\r\n",
    "Subject: Your message could not be delivered\r\n",
    "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"abc123.salt\"\r\n",
    "\r\n\r\nReporting-MTA: dns; mx.example.net\r\nOriginal-Envelope-Id: id-?x\r\n",
    "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n",
    "\r\n--abc123.salt\r\nContent-Type: message/rfc822\r\n\r\n\r\n--abc123.salt--\r\n",
    "    mx1.example [192.0.2.1] said: 550 5.1.1 no such \"user\" \\x0d\\x0aX: y\r\n",
  };
  static const char *const absent[] = {"done@example.org", "never@example.org", "out of range",
                                       "8bit", "\r\nX: y"};
  struct report r;
  stralloc out = {0};

  (void)state;
  make(&r, &out);
  for (size_t i = 0; i < sizeof there / sizeof *there; i++)
    if (!strstr(out.s, there[i]))
      fail_msg("missing: %s in\n%s", there[i], out.s);
  for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
    if (strstr(out.s, absent[i]))
      fail_msg("not wanted: %s in\n%s", absent[i], out.s);
  report_outcomes_free(r.outcome, 4);
  stralloc_free(&out);
}

/* every line ends with CR LF, is ASCII and at most 998 bytes, whatever a peer said */
static void test_hostile(void **state)
{
  static char huge[3000];
  static const char *const replies[] = {"", " ", "\xff\xfe\r\n.\r\nX: y", "a said: ", "said: 5", huge,
                                        "x  \t  y", "h said: 550"};
  struct report r = {.e = &envelope, .hostname = "mx", .to = "a\r\nBcc: b@c", .boundary = "b"};

  (void)state;
  memset(huge, 'x', sizeof huge - 1);
  huge[100] = ' ';
  for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
    struct history_line l = {.kind = 'o', .n = 5,
                             .field = {"0", "perm", "5.1.1.1\r\n", "h\r\nX: y", replies[i]}};
    stralloc out = {0};
    size_t start = 0;
    r.outcome = report_outcomes(4);
    assert_int_equal(report_note(&r, &l), 0);
    assert_int_equal(report_begin(&out, &r), 0);
    for (size_t at = 0; at < out.len; at++) {
      assert_true((unsigned char)out.s[at] < 127);
      if (out.s[at] != '\n')
        continue;
      assert_true(at > 0 && out.s[at - 1] == '\r');
      assert_true(at - start < 999);
      assert_int_not_equal(out.s[start], '.');
      assert_true(strncmp(out.s + start, "X:", 2) != 0 && strncmp(out.s + start, "Bcc", 3) != 0);
      start = at + 1;
    }
    assert_null(memmem(out.s, out.len, "\r\r", 2));
    report_outcomes_free(r.outcome, 4);
    stralloc_free(&out);
  }
}

static void test_what_returns(void **state)
{
  struct envelope e = envelope;

  (void)state;
  assert_true(report_returns_all(&e));
  e.body_len = REPORT_FULL_MAX + 1;
  assert_false(report_returns_all(&e));
  e.ret = "FULL";
  assert_true(report_returns_all(&e));
  e.body_len = 1;
  e.ret = "HDRS";
  assert_false(report_returns_all(&e));
}

static void test_double(void **state)
{
  struct report r = {.e = &envelope, .hostname = "mx", .to = "postmaster@mx", .boundary = "b",
                     .is_double = 1, .outcome = report_outcomes(4)};
  struct envelope e = envelope;
  stralloc out = {0};

  (void)state;
  e.content = CONTENT_8BIT_BODY;
  r.e = &e;
  assert_int_equal(report_begin(&out, &r), 0);
  assert_true(stralloc_0(&out));
  assert_non_null(strstr(out.s, "Subject: A message without a sender"));
  assert_non_null(strstr(out.s, "no reason is recorded"));
  assert_non_null(strstr(out.s, "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
  report_outcomes_free(r.outcome, 4);
  stralloc_free(&out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_fields),
    cmocka_unit_test(test_hostile),
    cmocka_unit_test(test_what_returns),
    cmocka_unit_test(test_double),
  };
  return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}

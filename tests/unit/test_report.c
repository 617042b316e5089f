/* test_report.c - reports to senders: fields, folding, nothing hostile gets through */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "queue/report.h"

#define T0 1700000000
#define RCPTS 8

#define RCPT(s, n, a, o) {.status = (s), .attempts = 1, .address = (a), .notify = (n), .orcpt = (o)}

static struct envelope_rcpt rcpts[RCPTS] = {
  RCPT(RCPT_FAILED, "", "bob@example.org", "rfc822;bob+2Bx@old.example"),
  RCPT(RCPT_DONE, "", "done@example.org", ""),
  RCPT(RCPT_FAILED, "NEVER", "never@example.org", ""),
  RCPT(RCPT_FAILED, "FAILURE,DELAY", "late@example.org", ""),
  RCPT(RCPT_DELIVERED, "SUCCESS", "here@example.org", ""),
  RCPT(RCPT_RELAYED, "SUCCESS", "there@example.org", ""),
  RCPT(RCPT_EXPANDED, "SUCCESS", "list@example.org", ""),
  RCPT(RCPT_TODO, "", "wait@example.org", ""),
};

static const struct envelope envelope = {
  .id = "abc123", .sender = "alice@example.com", .envid = "id+2D+0Ax", .ret = "",
  .client = "192.0.2.7:4711", .helo = "client.example", .protocol = "ESMTP", .created = T0,
  .body_len = 100, .nrcpt = RCPTS, .rcpt = rcpts};

static const char *const words[][HISTORY_FIELDS] = {
  {"0", "perm", "5.1.1", "mx1.example", "mx1.example [192.0.2.1] said: 550 5.1.1 no such \\x22user\\x22 \\x0d\\x0aX: y"},
  {"3", "perm", "bogus", "", "delivery time expired: nobody answered"},
  {"9", "perm", "5.0.0", "", "out of range"},
  {"0", "perm", "5.1.1"},
  {"7", "temp", "4.4.1", "mx2.example [192.0.2.2]", "mx2.example [192.0.2.2] refused at connect"},
  {"5", "ok", "2.1.5", "", "mx3.example [192.0.2.3] said: 250 2.1.5 fine"},
  {"4", "ok", "2.0.0", "", "delivered to secret/place/"},
};
#define WORDS (sizeof words / sizeof *words)

static struct history_line line(size_t i)
{
  struct history_line l = {.kind = 'o', .time = T0 + 60, .attempt = 1, .n = i == 3 ? 3 : 5};

  memcpy(l.field, words[i], sizeof words[i]);
  return l;
}

/* a report of what is owed of e's recipients, and of those waiting when warns */
static void start(struct report *r, const struct envelope *e, int warns)
{
  *r = (struct report){.e = e, .hostname = "mx.example.net", .to = "alice@example.com",
                       .message_id = "abc123.hash", .boundary = "abc123.salt", .now = T0 + 100,
                       .return_limit = 1000, .outcome = report_outcomes(e->nrcpt)};
  assert_non_null(r->outcome);
  for (size_t i = 0; i < e->nrcpt; i++) {
    r->outcome[i].action = notify_owed(e, i);
    if (warns && e->rcpt[i].status == RCPT_TODO) {
      r->outcome[i].action = NOTIFY_DELAYED;
      r->outcome[i].until = T0 + 5 * 86400;
    }
  }
}

static void finish(struct report *r, stralloc *out)
{
  out->len = 0;
  assert_int_equal(report_begin(out, r), 0);
  assert_int_equal(report_end(out, r), 0);
  assert_true(stralloc_0(out));
  out->len--;
  report_outcomes_free(r->outcome, r->e->nrcpt);
}

static void make(struct report *r, stralloc *out, int warns)
{
  start(r, &envelope, warns);
  for (size_t i = 0; i < WORDS; i++) {
    struct history_line l = line(i);
    assert_int_equal(report_note(r, &l), 0);
  }
  finish(r, out);
}

static void look(const stralloc *out, const char *const *there, const char *const *absent)
{
  for (; *there; there++)
    if (!strstr(out->s, *there))
      fail_msg("missing: %s in\n%s", *there, out->s);
  for (; *absent; absent++)
    if (strstr(out->s, *absent))
      fail_msg("not wanted: %s in\n%s", *absent, out->s);
}

static void test_fields(void **state)
{
  static const char *const there[] = {
    "\r\n\r\nOriginal-Recipient: rfc822; bob+x@old.example\r\n"
    "Final-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    "Remote-MTA: dns; mx1.example\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1 no such \"user\" \\x0d\\x0aX: y\r\n"
    "Last-Attempt-Date: Tue, 14 Nov 2023 22:14:20 +0000\r\nFinal-Log-ID: abc123\r\n",
    "\r\n\r\nFinal-Recipient: rfc822; late@example.org\r\nAction: failed\r\nStatus: 5.0.0\r\n"
    "Diagnostic-Code: x-heloise; delivery time expired: nobody answered\r\n",
    "Final-Recipient: rfc822; here@example.org\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
    "Final-Recipient: rfc822; there@example.org\r\nAction: relayed\r\nStatus: 2.1.5\r\n"
    "Remote-MTA: dns; mx3.example\r\nDiagnostic-Code: smtp; 250 2.1.5 fine\r\n",
    "Final-Recipient: rfc822; list@example.org\r\nAction: expanded\r\nStatus: 2.0.0\r\n",
    "Message-ID: <abc123.hash@mx.example.net>\r\n",
    "To: <alice@example.com>\r\n",
    "Subject: Your message could not be delivered\r\n",
    "Auto-Submitted: auto-replied\r\n",
    "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"abc123.salt\"\r\n",
    "\r\n\r\nOriginal-Envelope-Id: id-?x\r\nReporting-MTA: dns; mx.example.net\r\n"
    "Received-From-MTA: dns; client.example (192.0.2.7)\r\n"
    "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n",
    "\r\n--abc123.salt\r\nContent-Type: message/rfc822\r\n\r\n\r\n--abc123.salt--\r\n",
    "\r\n    mx1.example [192.0.2.1] said: 550 5.1.1 no such \"user\" \\x0d\\x0aX: y\r\n",
    "\r\n    The message was sent to bob+x@old.example and from there on.\r\n",
    "\r\n    It was tried once.\r\n",
    "look for a typing error in the part before the @",
    "these 2 addresses, and will not be tried again", NULL};
  static const char *const absent[] = {"done@example.org", "never@example.org", "wait@example.org",
                                       "out of range", "secret", "8bit", "\r\nX: y", "Will-Retry", "Precedence", NULL};
  struct report r;
  stralloc out = {0};

  (void)state;
  make(&r, &out, 0);
  look(&out, there, absent);
  stralloc_free(&out);
}

static void test_warning(void **state)
{
  static const char *const there[] = {
    "Subject: Your message is late, but still being tried\r\n",
    "\r\n\r\nFinal-Recipient: rfc822; wait@example.org\r\nAction: delayed\r\nStatus: 4.4.1\r\n"
    "Remote-MTA: dns; mx2.example\r\nDiagnostic-Code: x-heloise; mx2.example [192.0.2.2] refused at connect\r\n"
    "Last-Attempt-Date: Tue, 14 Nov 2023 22:14:20 +0000\r\nFinal-Log-ID: abc123\r\n"
    "Will-Retry-Until: Sun, 19 Nov 2023 22:13:20 +0000\r\n",
    "    It is tried until Sun, 19 Nov 2023 22:13:20 +0000; then it comes back.\r\n",
    "You need not send it again", "Its header is attached.", "Content-Type: text/rfc822-headers\r\n", NULL};
  static const char *const absent[] = {"Action: failed", "What you can do", "larger than", NULL};
  struct envelope e = envelope;
  struct history_line l = line(4);
  struct report r;
  stralloc out = {0};

  (void)state;
  e.rcpt = &rcpts[7];
  e.nrcpt = 1;
  l.field[0] = "0";
  start(&r, &e, 1);
  assert_int_equal(report_note(&r, &l), 0);
  finish(&r, &out);
  look(&out, there, absent);
  make(&r, &out, 1); /* with failures, which come first */
  look(&out, (const char *const[]){"Action: failed", "Action: delayed", "Subject: Your message could not", NULL},
       (const char *const[]){NULL});
  stralloc_free(&out);
}

/* every line ends with CR LF, is ASCII and at most 998 bytes, whatever a peer said */
static void test_hostile(void **state)
{
  static char huge[3000];
  static const char *const replies[] = {"", " ", "\xff\xfe\r\n.\r\nX: y", "a said: ", "said: 5", huge,
                                        "x  \t  y", "h said: 550", "$ $ $", "%s%n"};
  struct envelope e = envelope;
  struct report r;

  (void)state;
  memset(huge, 'x', sizeof huge - 1);
  huge[100] = ' ';
  e.helo = "a\r\nX: y";
  e.flags = ENVELOPE_SMTPUTF8;
  for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
    struct history_line l = {.kind = 'o', .n = 5,
                             .field = {"0", "perm", "5.1.1.1\r\n", "h\r\nX: y", replies[i]}};
    stralloc out = {0};
    size_t from = 0;
    start(&r, &e, i % 2);
    r.to = "a\r\nBcc: b@c";
    assert_int_equal(report_note(&r, &l), 0);
    finish(&r, &out);
    for (size_t at = 0; at < out.len; at++) {
      assert_true((unsigned char)out.s[at] < 127);
      if (out.s[at] != '\n')
        continue;
      assert_true(at > 0 && out.s[at - 1] == '\r');
      assert_true(at - from < 999);
      assert_int_not_equal(out.s[from], '.');
      assert_true(strncmp(out.s + from, "X:", 2) != 0 && strncmp(out.s + from, "Bcc", 3) != 0);
      from = at + 1;
    }
    assert_null(memmem(out.s, out.len, "\r\r", 2));
    stralloc_free(&out);
  }
}

static void test_what_returns(void **state)
{
  struct envelope e = envelope;
  struct report r;
  stralloc out = {0};

  (void)state;
  start(&r, &e, 0);
  assert_true(report_returns_all(&r));
  e.body_len = 1001;
  assert_false(report_returns_all(&r));
  e.ret = "FULL";
  assert_false(report_returns_all(&r)); /* the limit is the administrator's */
  r.return_limit = 1001;
  assert_true(report_returns_all(&r));
  e.ret = "HDRS";
  assert_false(report_returns_all(&r));
  e.ret = "FULL";
  for (size_t i = 0; i < RCPTS; i++)
    if (r.outcome[i].action == NOTIFY_FAILED)
      r.outcome[i].action = NOTIFY_NOTHING;
  assert_false(report_returns_all(&r)); /* nothing failed: RFC 3461 4.3 */
  report_outcomes_free(r.outcome, RCPTS);
  e.body_len = 5000;
  start(&r, &e, 0);
  finish(&r, &out);
  assert_non_null(strstr(out.s, "larger than the 1000 bytes"));
  assert_non_null(strstr(out.s, "Content-Type: text/rfc822-headers"));
  stralloc_free(&out);
}

static void test_double(void **state)
{
  struct envelope e = envelope;
  struct report r;
  stralloc out = {0};

  (void)state;
  e.sender = "";
  e.content = CONTENT_8BIT_BODY;
  start(&r, &e, 0);
  r.to = "postmaster@mx";
  r.is_double = 1;
  assert_int_equal(report_flags(&r), ENVELOPE_REPORT | ENVELOPE_DOUBLE | ENVELOPE_8BITMIME);
  finish(&r, &out);
  assert_non_null(strstr(out.s, "Subject: A message without a sender"));
  assert_non_null(strstr(out.s, "No reason is recorded."));
  assert_null(strstr(out.s, "What you can do"));
  assert_non_null(strstr(out.s, "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
  stralloc_free(&out);
}

/* RFC 6533: in UTF-8 for who sent with SMTPUTF8, in ASCII for all others */
static void test_utf8(void **state)
{
  struct envelope_rcpt rcpt = RCPT(RCPT_FAILED, "", "b\xc3\xa4r@example.org", "utf-8;b\\x{E4}r@example.org");
  struct envelope e = envelope;
  struct report r;
  stralloc out = {0};

  (void)state;
  e.rcpt = &rcpt;
  e.nrcpt = 1;
  e.content = CONTENT_8BIT_HEADER;
  e.flags = ENVELOPE_SMTPUTF8;
  start(&r, &e, 0);
  assert_int_equal(report_flags(&r), ENVELOPE_REPORT | ENVELOPE_8BITMIME);
  r.to = "\xc3\xa4@example.com";
  assert_int_equal(report_flags(&r), ENVELOPE_REPORT | ENVELOPE_8BITMIME | ENVELOPE_SMTPUTF8);
  finish(&r, &out);
  look(&out, (const char *const[]){"To: <\xc3\xa4@example.com>\r\n", "text/plain; charset=utf-8\r\n",
                                   "message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
                                   "Original-Recipient: utf-8; b\\x{E4}r@example.org\r\n",
                                   "Final-Recipient: utf-8; b\xc3\xa4r@example.org\r\n",
                                   "  <b\xc3\xa4r@example.org>\r\n", "message/global\r\n", NULL},
       (const char *const[]){NULL});
  e.flags = 0;
  start(&r, &e, 0);
  finish(&r, &out);
  look(&out, (const char *const[]){"Final-Recipient: utf-8; b\\x{E4}r@example.org\r\n", "  <b\\x{E4}r@example.org>\r\n",
                                   "message/delivery-status\r\n", "message/rfc822\r\n", NULL},
       (const char *const[]){"global", "\xc3", NULL});
  e.flags = ENVELOPE_SMTPUTF8;
  e.ret = "HDRS";
  start(&r, &e, 0);
  finish(&r, &out);
  assert_non_null(strstr(out.s, "message/global-headers\r\n"));
  stralloc_free(&out);
}

/* a mailing list's worth of recipients: programs get them all, people the first ones */
static void test_many(void **state)
{
  static struct envelope_rcpt many[1000];
  struct envelope e = envelope;
  struct report r;
  stralloc out = {0};
  size_t n = 0;

  (void)state;
  for (size_t i = 0; i < 1000; i++)
    many[i] = (struct envelope_rcpt)RCPT(RCPT_FAILED, "", "bob@example.org", "");
  e.rcpt = many;
  e.nrcpt = 1000;
  start(&r, &e, 0);
  finish(&r, &out);
  for (const char *s = out.s; (s = strstr(s, "Final-Recipient:")); s++)
    n++;
  assert_int_equal(n, 1000);
  n = 0;
  for (const char *s = out.s; (s = strstr(s, "\r\n  <bob@example.org>")); s++)
    n++;
  assert_int_equal(n, REPORT_TOLD);
  assert_non_null(strstr(out.s, "900 more addresses are left out here"));
  stralloc_free(&out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_fields), cmocka_unit_test(test_warning), cmocka_unit_test(test_hostile),
    cmocka_unit_test(test_what_returns), cmocka_unit_test(test_double), cmocka_unit_test(test_utf8),
    cmocka_unit_test(test_many),
  };
  return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}

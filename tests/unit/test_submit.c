/* test_submit.c - what users write: line ends, headers, addresses, command lines */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "queue/arguments.h"
#include "queue/submit.h"

/* ---- text */

#define S(s) s, sizeof(s) - 1

static const struct {
  const char *name, *in;
  size_t in_len;
  const char *out;
  size_t out_len;
  int dot_is_text;
} texts[] = {
  {"empty", S(""), S(""), 0},
  {"LF", S("a\nb\n"), S("a\r\nb\r\n"), 0},
  {"CR LF", S("a\r\nb\r\n"), S("a\r\nb\r\n"), 0},
  {"CR", S("10%\r20%\r\r\n"), S("10%\r\n20%\r\n\r\n"), 0},
  {"LF CR", S("a\n\rb"), S("a\r\n\r\nb\r\n"), 0},
  {"no last line end", S("a\nb"), S("a\r\nb\r\n"), 0},
  {"dot ends", S("a\n.\nb\n"), S("a\r\n"), 0},
  {"dot CR LF ends", S("a\r\n.\r\nb\n"), S("a\r\n"), 0},
  {"dot at the end", S("a\n."), S("a\r\n"), 0},
  {"dot at once", S(".\n"), S(""), 0},
  {"dots and more", S("..\n.a\n a.\n"), S("..\r\n.a\r\n a.\r\n"), 0},
  {"dot is text", S("a\n.\nb\n"), S("a\r\n.\r\nb\r\n"), 1},
  {"NUL", S("a\0b\n"), S("a b\r\n"), 0},
  {"8-bit", S("\xc3\xa4\n"), S("\xc3\xa4\r\n"), 0},
};

static void test_text(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    for (size_t cut = 0; cut <= texts[i].in_len; cut++) {
      struct submit_text t = {.dot_is_text = texts[i].dot_is_text};
      stralloc out = {0};
      assert_int_equal(submit_text(&t, &out, texts[i].in, cut), 0);
      assert_int_equal(submit_text(&t, &out, texts[i].in + cut, texts[i].in_len - cut), 0);
      assert_int_equal(submit_text(&t, &out, NULL, 0), 0);
      if (out.len != texts[i].out_len || (out.len && memcmp(out.s, texts[i].out, out.len) != 0))
        fail_msg("%s cut at %zu: %.*s", texts[i].name, cut, (int)out.len, out.s);
      stralloc_free(&out);
    }
}

static const struct {
  const char *name, *text;
  size_t at, len, body;
} splits[] = {
  {"header and body", "A: b\r\n\r\nbody\r\n", 0, 6, 8},
  {"folded", "A: b\r\n c\r\n\r\nbody\r\n", 0, 10, 12},
  {"no header", "hello\r\nA: b\r\n", 0, 0, 0},
  {"body at once", "A: b\r\nhello world\r\n", 0, 6, 6},
  {"header only", "A: b\r\n", 0, 6, 6},
  {"From line", "From x y\r\nA: b\r\n\r\nz\r\n", 10, 6, 18},
  {"a blank in front is no header", " x: y\r\n", 0, 0, 0},
  {"empty line first", "\r\nA: b\r\n", 0, 0, 2},
  {"empty", "", 0, 0, 0},
};

static void test_split(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
    struct submit_parts p;
    size_t len = strlen(splits[i].text);
    assert_int_equal(submit_split(splits[i].text, len, 1, &p), 1);
    if (p.header_at != splits[i].at || p.header_len != splits[i].len || p.body_at != splits[i].body)
      fail_msg("%s: %zu %zu %zu", splits[i].name, p.header_at, p.header_len, p.body_at);
  }
}

/* ---- addresses */

static int join(void *arg, const char *s, size_t len)
{
  stralloc *out = arg;

  assert_true(stralloc_cats(out, "[") && stralloc_catb(out, s ? s : "", len) &&
              stralloc_cats(out, "]"));
  return 0;
}

static const struct {
  const char *text, *found;
} lists[] = {
  {"", ""},
  {"a@b", "[a@b]"},
  {" a@b , c@d\r\n", "[a@b][c@d]"},
  {"bob", "[bob]"},
  {"Bob B. <b@c>, \"x, y\" <d@e> (f, g@h)", "[b@c][d@e]"},
  {"a@b (comment (nested \\) <x@y>))", "[a@b]"},
  {"\"a b\"@c", "[\"a b\"@c]"},
  {"\"a\\\"b,\"@c, d", "[\"a\\\"b,\"@c][d]"},
  {"group: a@b, C <c@d>; e@f", "[a@b][c@d][e@f]"},
  {"undisclosed-recipients:;", ""},
  {"<@x,@y:a@b>", "[a@b]"},
  {"<>", "[]"},
  {"a . b @ c", "[a.b@c]"},
  {"two words", "[two words]"},
  {"a@[IPv6:::1]", "[a@[IPv6:::1]]"},
  {"Bob <b@c", "[b@c]"},
  {",,a,,", "[a]"},
  {"\"open", "[\"open]"},
  {"(open", ""},
};

static void test_addresses(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    stralloc out = {0};
    assert_int_equal(submit_addresses(lists[i].text, strlen(lists[i].text), join, &out), 0);
    assert_true(stralloc_0(&out));
    assert_string_equal(out.s, lists[i].found);
    stralloc_free(&out);
  }
}

static int list_addresses(void *arg, const char *value, size_t len)
{
  return submit_addresses(value, len, join, arg);
}

static void test_recipient_fields(void **state)
{
  static const char plain[] = "From: x@y\r\nTo: a,\r\n b\r\nSubject: To: c\r\nbcc: d\r\nCC : e\r\n";
  static const char resent[] = "To: a\r\nResent-To: b\r\nResent-Bcc: c\r\n";
  stralloc out = {0};

  (void)state;
  assert_int_equal(submit_recipient_fields(plain, sizeof plain - 1, list_addresses, &out), 0);
  assert_int_equal(submit_recipient_fields(resent, sizeof resent - 1, list_addresses, &out), 0);
  assert_true(stralloc_0(&out));
  assert_string_equal(out.s, "[a][b][d][e][b][c]");
  stralloc_free(&out);
}

/* ---- headers */

static void check_header(const char *in, struct submit_origin o, const char *want)
{
  stralloc out = {0};

  o.message_id = "m@h";
  o.address = "bob@h";
  assert_int_equal(submit_header(&out, in, strlen(in), &o), 0);
  assert_true(stralloc_0(&out));
  assert_string_equal(out.s, want);
  stralloc_free(&out);
}

static void test_header(void **state)
{
  struct submit_origin o = {.full_name = "", .now = 0};
  static const char date[] = "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n";
  char want[500];

  (void)state;
  snprintf(want, sizeof want, "To: a\r\nBcc: b\r\nFrom: <bob@h>\r\n%sMessage-ID: <m@h>\r\n\r\n", date);
  check_header("To: a\r\nBcc: b\r\n", o, want);
  o.removes_bcc = 1;
  check_header("Bcc: b,\r\n c\r\nFROM: x\r\ndate: y\r\nMessage-Id: z\r\n", o,
               "FROM: x\r\ndate: y\r\nMessage-Id: z\r\n\r\n");
  o.full_name = "Bob B. Jones\r\nBcc: eve";
  snprintf(want, sizeof want, "From: \"Bob B. Jones  Bcc: eve\" <bob@h>\r\n%sMessage-ID: <m@h>\r\n\r\n", date);
  check_header("", o, want);
  o.full_name = "J\xc3\xb6rg";
  snprintf(want, sizeof want, "From: =?utf-8?Q?J=C3=B6rg?= <bob@h>\r\n%sMessage-ID: <m@h>\r\n\r\n", date);
  check_header("", o, want);
  o.is_gateway = 1;
  check_header("A: b\r\n", o, "A: b\r\n\r\n");
}

/* ---- command lines, as the callers of sendmail write them */

static void parse(struct arguments *a, char **argv, const char *rcpt)
{
  const char *why;

  assert_int_equal(arguments_parse(a, argv, &why), 0);
  assert_string_equal(*a->rcpt ? *a->rcpt : "", rcpt);
}

static void test_arguments(void **state)
{
  struct arguments a;
  const char *why;

  (void)state;
  parse(&a, (char *[]){"/usr/sbin/sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", NULL}, "root");
  assert_string_equal(a.full_name, "CronDaemon");
  assert_true(a.dot_is_text && a.is_8bit && !a.from_header);
  parse(&a, (char *[]){"sendmail", "-FAnacron", "-odi", "user", NULL}, "user");
  assert_false(a.dot_is_text);
  parse(&a, (char *[]){"sendmail", "-oi", "-t", NULL}, "");
  assert_true(a.dot_is_text && a.from_header);
  parse(&a, (char *[]){"sendmail", "-ti", "-f", "a@b", NULL}, "");
  assert_true(a.dot_is_text && a.from_header);
  assert_string_equal(a.sender, "a@b");
  parse(&a, (char *[]){"sendmail", "-fa@b", "-N", "never", "-R", "hdrs", "-Vx", "-O", "A=b", "--", "-t", NULL}, "-t");
  assert_string_equal(a.notify, "never");
  assert_string_equal(a.ret, "hdrs");
  assert_string_equal(a.envid, "x");
  assert_false(a.from_header);
  parse(&a, (char *[]){"sendmail", "rcpt", "-t", NULL}, "rcpt");
  assert_false(a.from_header);
  parse(&a, (char *[]){"sendmail", "-Zunknown", "-v", "-bm", "-q15m", "x", NULL}, "x");
  assert_int_equal(a.mode, MODE_SUBMIT);
  parse(&a, (char *[]){"sendmail", "-bp", NULL}, "");
  assert_int_equal(a.mode, MODE_LIST);
  parse(&a, (char *[]){"sendmail", "-bi", NULL}, "");
  assert_int_equal(a.mode, MODE_ALIASES);
  parse(&a, (char *[]){"sendmail", "-q", NULL}, "");
  assert_int_equal(a.mode, MODE_RETRY);
  parse(&a, (char *[]){"sendmail", "-bs", NULL}, "");
  assert_int_equal(a.mode, MODE_UNKNOWN);
  parse(&a, (char *[]){"/usr/bin/mailq", NULL}, "");
  assert_int_equal(a.mode, MODE_LIST);
  parse(&a, (char *[]){"newaliases", NULL}, "");
  assert_int_equal(a.mode, MODE_ALIASES);
  parse(&a, (char *[]){NULL}, "");
  parse(&a, (char *[]){"sendmail", "-", NULL}, "-");
  assert_int_equal(arguments_parse(&a, (char *[]){"sendmail", "-f", NULL}, &why), -1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_text),      cmocka_unit_test(test_split),
    cmocka_unit_test(test_addresses), cmocka_unit_test(test_recipient_fields),
    cmocka_unit_test(test_header),    cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests_name("submit", tests, NULL, NULL);
}

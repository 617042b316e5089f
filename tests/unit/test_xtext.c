/* test_xtext.c - xtext: decoded, refused, and made for ORCPT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "common/xtext.h"

static void decodes(void **state)
{
  static const struct {
    const char *coded, *plain; /* NULL: illegal */
  } cases[] = {
    {"user@example.org", "user@example.org"}, {"a+2Bb", "a+b"}, {"a+3Db", "a=b"},
    {"+20", " "},     {"+E4", "\xe4"}, {"", ""},        {"a b", NULL}, {"a=b", NULL},
    {"a+2", NULL},    {"+", NULL},     {"+2b", NULL},   {"+00", NULL}, {"+G0", NULL},
    {"\xe4", NULL},
  };
  stralloc out = {0};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t len = strlen(cases[i].coded);
    assert_int_equal(xtext_is(cases[i].coded, len), cases[i].plain != NULL);
    assert_int_equal(xtext_decode(cases[i].coded, len, &out), cases[i].plain ? 0 : -1);
    if (!cases[i].plain)
      continue;
    assert_int_equal(out.len, strlen(cases[i].plain));
    assert_memory_equal(out.s, cases[i].plain, out.len);
  }
  stralloc_free(&out);
}

/* what is made decodes to what it was made from; type utf-8 is ASCII by RFC 6533 3 */
static void orcpt(void **state)
{
  static const struct {
    const char *address, *orcpt;
  } cases[] = {
    {"bob@example.org", "rfc822;bob@example.org"},
    {"a+b=c@example.org", "rfc822;a+2Bb+3Dc@example.org"},
    {"\"a b\"@example.org", "rfc822;\"a+20b\"@example.org"},
    {"b\xc3\xa4r@example.org", "utf-8;b\\x{E4}r@example.org"},
    {"\xf0\x9f\x98\x80+@x", "utf-8;\\x{1F600}+2B@x"},
    {"\xff@x", "utf-8;\\x{FF}@x"}, {"\xe2\x82", "utf-8;\\x{E2}\\x{82}"}, {"", "rfc822;"},
  };
  stralloc out = {0};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(xtext_orcpt(&out, cases[i].address), 0);
    assert_true(stralloc_0(&out));
    assert_string_equal(out.s, cases[i].orcpt);
    assert_true(xtext_is(strchr(out.s, ';') + 1, strlen(strchr(out.s, ';') + 1)));
  }
  stralloc_free(&out);
}

/* RFC 6533 3: the value behind "utf-8;", as it may come and as it is kept */
static void utf8(void **state)
{
  static const struct {
    const char *given;
    int has_utf8;
    const char *kept; /* NULL: illegal */
  } cases[] = {
    {"a@b", 0, "a@b"}, {"\\x{E4}@b", 0, "\\x{E4}@b"}, {"\xc3\xa4@b", 1, "\\x{E4}@b"},
    {"\xc3\xa4@b", 0, NULL}, {"\xc3@b", 1, NULL}, {"\xe4@b", 1, NULL}, {"\xff\x81\x85\x81", 1, NULL}, {"\xe0\x82\xa0", 1, NULL},
    {"\xed\xa0\x80", 1, NULL}, {"\xf4\x90\x80\x80", 1, NULL}, {"\xc2\x85", 1, NULL},
    {"a+2Bb", 0, "a+2Bb"}, {"a+2", 0, NULL}, {"a+0Ab", 0, NULL}, {"a=b", 0, NULL}, {"a b", 0, NULL}, {"\\", 0, NULL},
    {"\\x{}", 0, NULL}, {"\\x{A}", 0, NULL}, {"\\x{0A}", 0, NULL}, {"\\x{85}", 0, NULL},
    {"\\x{D800}", 0, NULL}, {"\\x{110000}", 0, NULL}, {"\\x{10FFFF}", 0, "\\x{10FFFF}"},
    {"\\x{e4}", 0, NULL}, {"\\x{E4", 0, NULL}, {"\\x{0000000E4}", 0, NULL},
  };
  stralloc out = {0};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_true(stralloc_copys(&out, ""));
    assert_int_equal(xtext_utf8(&out, cases[i].given, strlen(cases[i].given), cases[i].has_utf8),
                     cases[i].kept ? 0 : -1);
    if (!cases[i].kept)
      continue;
    assert_true(stralloc_0(&out));
    assert_string_equal(out.s, cases[i].kept);
  }
  stralloc_free(&out);
  assert_true(xtext_is_printable("a+20b", 5));
  assert_false(xtext_is_printable("a+0Ab", 5));
  assert_false(xtext_is_printable("a+E4b", 5));
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(decodes), cmocka_unit_test(orcpt), cmocka_unit_test(utf8)};

  return cmocka_run_group_tests_name("xtext", tests, NULL, NULL);
}

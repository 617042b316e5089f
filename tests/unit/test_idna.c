/* test_idna.c - U-labels to A-labels, and what has none */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "common/idna.h"

static void converts(void **state)
{
  static const struct {
    const char *given, *ascii; /* "": none */
  } cases[] = {
    {"Example.ORG", "example.org"}, {".Example.org", ".example.org"}, {"_x.example", "_x.example"},
    {"m\xc3\xbcller.example", "xn--mller-kva.example"},
    {"M\xc3\x9cLLER.example", "xn--mller-kva.example"},
    {"mu\xcc\x88ller.example", "xn--mller-kva.example"}, /* not composed */
    {".m\xc3\xbcller.example", ".xn--mller-kva.example"},
    {"\xe6\x97\xa5\xe6\x9c\xac.example", "xn--wgv71a.example"},
    {"stra\xc3\x9f" "e.example", "xn--strae-oqa.example"},
    {"\xc3.example", ""}, {"a\xe2\x80\xa8.example", ""}, {"\xcc\x88.example", ""}, {"", ""},
    {".\xc3", ""},
  };
  char out[IDNA_MAX + 1], big[600];

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = idna_ascii(cases[i].given, strlen(cases[i].given), out);
    assert_int_equal(n, strlen(cases[i].ascii));
    if (n > 0)
      assert_string_equal(out, cases[i].ascii);
  }
  memset(big, 'a', sizeof big);
  assert_int_equal(idna_ascii(big, sizeof big, out), 0);
  assert_int_equal(idna_ascii(big, IDNA_MAX, out), IDNA_MAX);
  for (size_t i = 0; i + 1 < sizeof big; i += 2)
    memcpy(big + i, "\xc3\xbc", 2);
  for (size_t len = 0; len < sizeof big; len++)
    idna_ascii(big, len, out);
  assert_int_equal(idna_ascii("a\0b", 3, out), 0);
  assert_true(idna_is_needed("a\xc3", 2));
  assert_false(idna_is_needed("a", 1));
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(converts)};

  return cmocka_run_group_tests_name("idna", tests, NULL, NULL);
}

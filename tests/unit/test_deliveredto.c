/* test_deliveredto.c - loops seen by Delivered-To */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "deliver/deliveredto.h"

static void sees_marks(void **state)
{
  static const struct {
    const char *header;
    int has;
  } rows[] = {
    {"Delivered-To: a@b.example\r\n\r\n", 1},
    {"DELIVERED-TO:a@B.EXAMPLE\r\n", 1},
    {"X: y\r\nDelivered-To:\t a@b.example \r\nZ: x\r\n", 1},
    {"X: y\nDelivered-To: a@b.example\n", 1},
    {"Delivered-To: a@b.example", 1},
    {"Delivered-To: aa@b.example\r\n", 0},
    {"Delivered-To: a@b.example.org\r\n", 0},
    {"Delivered-To: a@b.exampl", 0},
    {" Delivered-To: a@b.example\r\n", 0},
    {"X-Delivered-To: a@b.example\r\n", 0},
    {"X: y\r\n\r\nDelivered-To: a@b.example\r\n", 0},
    {"\r\nDelivered-To: a@b.example\r\n", 0},
    {"Delivered-To:\r\n", 0},
    {"Delivered", 0},
    {"", 0},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (deliveredto_has(rows[i].header, strlen(rows[i].header), "a@b.example") != rows[i].has)
      fail_msg("%s", rows[i].header);
}

static void makes_marks(void **state)
{
  stralloc s = {0};

  (void)state;
  assert_int_equal(deliveredto_field(&s, "a\r\nX: @b"), 0);
  assert_int_equal(s.len, strlen("Delivered-To: aX: @b\r\n"));
  assert_memory_equal(s.s, "Delivered-To: aX: @b\r\n", s.len);
  assert_int_equal(deliveredto_field(&s, "a@b"), 0);
  assert_int_equal(deliveredto_has(s.s, s.len, "A@b"), 1);
  free(s.s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(sees_marks), cmocka_unit_test(makes_marks)};

  return cmocka_run_group_tests_name("deliveredto", tests, NULL, NULL);
}

/* test_answer.c - DNS records as they pass from the resolver to those who asked */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "resolve/answer.h"

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

static const struct {
  const char *name, *wire;
  size_t len;
  const char *text; /* NULL: refused */
} hosts[] = {
#define ROW(name, wire, text) {name, wire, sizeof(wire) - 1, text}
  ROW("two labels", "\2mx\7example\0", "mx.example"),
  ROW("case", "\2MX\7eXample\0", "mx.example"),
  ROW("root", "\0", ""),
  ROW("underscore and hyphen", "\4_a-b\1c\0", "_a-b.c"),
  ROW("longest label", "\77" L63 "\0", L63),
  ROW("no end", "\2mx", NULL),
  ROW("nothing", "", NULL),
  ROW("label past the end", "\7mx\0", NULL),
  ROW("label of 64 bytes", "\100" L63 "a\0", NULL),
  ROW("compressed", "\300\14", NULL),
  ROW("bytes behind", "\2mx\0x", NULL),
  ROW("space", "\2m \0", NULL),
  ROW("NUL", "\2m\0\0", NULL),
  ROW("8-bit", "\2m\344\0", NULL),
  ROW("line feed", "\2m\n\0", NULL),
  ROW("dot inside a label", "\3a.b\0", NULL),
  ROW("an address", "\3192\1" "0\1" "2\1" "1\0", NULL),
  ROW("digits in front", "\3" "192\7example\0", "192.example"),
#undef ROW
};

static void reads_hosts(void **state)
{
  char name[ASK_NAME_MAX + 1];

  (void)state;
  for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
    int r = answer_host((const unsigned char *)hosts[i].wire, hosts[i].len, name);
    if ((r == 0) != (hosts[i].text != NULL))
      fail_msg("%s", hosts[i].name);
    if (r == 0)
      assert_string_equal(name, hosts[i].text);
  }
}

/* 253 bytes of text are the most, 255 on the wire */
static void bounds_names(void **state)
{
  char wire[300], name[ASK_NAME_MAX + 1], text[300];
  size_t at = 0;

  (void)state;
  for (int i = 0; i < 3; i++) {
    wire[at++] = 63;
    memset(wire + at, 'a', 63);
    at += 63;
  }
  wire[at] = 61;
  memset(wire + at + 1, 'b', 62);
  wire[at + 62] = 0;
  assert_int_equal(answer_host((unsigned char *)wire, at + 63, name), 0);
  assert_int_equal(strlen(name), 253);
  assert_int_equal(answer_name(name, 253, text), 0);
  wire[at] = 62;
  wire[at + 62] = 'b';
  wire[at + 63] = 0;
  assert_int_equal(answer_host((unsigned char *)wire, at + 64, name), -1);
  memset(text, 'a', sizeof text);
  assert_int_equal(answer_name(text, 254, name), -1);
}

static const struct {
  const char *s, *text;
} names[] = {
  {"Example.ORG", "example.org"}, {"example.org.", "example.org"}, {"a", "a"},
  {"_dmarc.x", "_dmarc.x"},       {"", NULL},                      {".", NULL},
  {"..", NULL},                   {"a..b", NULL},                  {".a", NULL},
  {"a b", NULL},                  {"a\n", NULL},                   {"a@b", NULL},
  {L63, L63},                     {L63 "x", NULL},                 {"m\xc3\xbcnchen.example", NULL},
};

static void reads_names(void **state)
{
  char name[ASK_NAME_MAX + 1];

  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    int r = answer_name(names[i].s, strlen(names[i].s), name);
    if ((r == 0) != (names[i].text != NULL))
      fail_msg("%s", names[i].s);
    if (r == 0)
      assert_string_equal(name, names[i].text);
  }
}

static void walks_records(void **state)
{
  stralloc records = {0};
  struct answer_record r;
  struct ip ip;
  uint16_t preference;
  char name[ASK_NAME_MAX + 1];
  size_t at = 0;

  (void)state;
  assert_int_equal(answer_add(&records, "\1\2\3\4", 4), 0);
  assert_int_equal(answer_add(&records, "\0\12\2mx\0", 6), 0);
  assert_int_equal(answer_add(&records, "", 0), 0);
  assert_int_equal(answer_next(records.s, records.len, &at, &r), 1);
  assert_int_equal(answer_ip(&r, &ip), 0);
  assert_int_equal(ip.family, 4);
  assert_int_equal(answer_mx(&r, &preference, name), -1);
  assert_int_equal(answer_next(records.s, records.len, &at, &r), 1);
  assert_int_equal(answer_mx(&r, &preference, name), 0);
  assert_int_equal(preference, 10);
  assert_string_equal(name, "mx");
  assert_int_equal(answer_ip(&r, &ip), -1);
  assert_int_equal(answer_next(records.s, records.len, &at, &r), 1);
  assert_int_equal(answer_mx(&r, &preference, name), -1);
  assert_int_equal(answer_next(records.s, records.len, &at, &r), 0);
  for (size_t cut = 1; cut < 4; cut++) {
    at = 0;
    assert_int_equal(answer_next(records.s, cut, &at, &r), -1);
  }
  free(records.s);
}

static void bounds_records(void **state)
{
  static char big[60000];
  stralloc records = {0};

  (void)state;
  assert_int_equal(answer_add(&records, big, sizeof big), 0);
  assert_int_equal(answer_add(&records, big, sizeof big), -1);
  assert_int_equal(records.len, sizeof big + 2);
  free(records.s);
}

static void refuses_addresses_of_no_peer(void **state)
{
  static const unsigned char zero[16], mapped[16] = {[10] = 255, [11] = 255, 127, 0, 0, 1},
                             one[16] = {[15] = 1};
  struct ip ip;

  (void)state;
  assert_int_equal(answer_ip(&(struct answer_record){zero, 4}, &ip), -1);
  assert_int_equal(answer_ip(&(struct answer_record){zero, 16}, &ip), -1);
  assert_int_equal(answer_ip(&(struct answer_record){mapped, 16}, &ip), -1);
  assert_int_equal(answer_ip(&(struct answer_record){one, 16}, &ip), 0);
  assert_int_equal(ip.family, 6);
}

static void reads_words(void **state)
{
  enum answer_type t;
  enum ask_status st;
  enum ask_security sec;

  (void)state;
  for (int i = ANSWER_A; i <= ANSWER_PTR; i++) {
    const char *w = answer_type_word((enum answer_type)i);
    assert_int_equal(answer_type_read(w, strlen(w), &t), 0);
    assert_int_equal(t, i);
  }
  assert_int_equal(answer_type_number(ANSWER_MX), 15);
  assert_int_equal(answer_type_read("ANY", 3, &t), -1);
  for (int i = ASK_OK; i <= ASK_FAILED; i++) {
    const char *w = ask_status_word((enum ask_status)i);
    assert_int_equal(answer_status_read(w, strlen(w), &st), 0);
    assert_int_equal(st, i);
  }
  assert_int_equal(answer_status_read("o", 1, &st), -1);
  for (int i = ASK_INSECURE; i <= ASK_BOGUS; i++) {
    const char *w = answer_security_word((enum ask_security)i);
    assert_int_equal(answer_security_read(w, strlen(w), &sec), 0);
    assert_int_equal(sec, i);
  }
  assert_int_equal(answer_security_read("", 0, &sec), -1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(reads_hosts),    cmocka_unit_test(bounds_names),
    cmocka_unit_test(reads_names),    cmocka_unit_test(walks_records),
    cmocka_unit_test(bounds_records), cmocka_unit_test(refuses_addresses_of_no_peer),
    cmocka_unit_test(reads_words),
  };

  return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}

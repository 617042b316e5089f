/* test_offers.c - greetings: what is news, what is a change, a file that is lost or spoilt */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/verbs.h"
#include "deliver/offers.h"

#define T0 1769850000U

static char dir[64];
static int state_fd;
static struct offers *o;

static int set_up(void **state)
{
  (void)state;
  strcpy(dir, "/tmp/test_offers.XXXXXX");
  if (!mkdtemp(dir))
    return -1;
  state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  o = offers_open(state_fd);
  return o ? 0 : -1;
}

static int tear_down(void **state)
{
  char command[100];

  (void)state;
  offers_close(o);
  close(state_fd);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command) == 0 ? 0 : -1;
}

static struct offers_card greeting(unsigned int host, uint32_t at, uint32_t verbs)
{
  struct offers_card c = {.port = 25, .now = {at, verbs, 100, OFFERS_EHLO}, .host = "mx.example"};

  c.ip.family = 4;
  c.ip.bytes[0] = 192;
  c.ip.bytes[1] = (unsigned char)(host >> 16);
  c.ip.bytes[2] = (unsigned char)(host >> 8);
  c.ip.bytes[3] = (unsigned char)host;
  return c;
}

static int note(const struct offers_card *c)
{
  struct offers_seen before;

  return offers_note(o, c, &before);
}

static struct offers_card found;
static size_t cards;

static int keep(void *arg, const struct offers_card *c)
{
  (void)arg;
  found = *c;
  cards++;
  return 0;
}

static size_t all(void)
{
  cards = 0;
  assert_int_equal(offers_each(o, keep, NULL), 0);
  return cards;
}

static void test_changes(void **state)
{
  struct offers_card c = greeting(1, T0, VERB_STARTTLS | VERB_SIZE), helo, slow;

  (void)state;
  assert_int_equal(all(), 0);
  assert_true(offers_is_news(o, &c));
  assert_int_equal(note(&c), 0); /* a new host is no change */
  assert_false(offers_is_news(o, &c));
  c.now.at += OFFERS_DAY;
  assert_true(offers_is_news(o, &c)); /* that it is still so, once a day */
  assert_int_equal(note(&c), 0);
  c.now.at += 10;
  assert_false(offers_is_news(o, &c));
  c.now.verbs = VERB_SIZE;
  assert_true(offers_is_news(o, &c));
  assert_int_equal(note(&c), 1);
  assert_int_equal(all(), 1);
  assert_int_equal(found.before.verbs, VERB_STARTTLS | VERB_SIZE);
  assert_int_equal(found.now.verbs, VERB_SIZE);
  assert_int_equal(found.changed, T0 + OFFERS_DAY + 10);
  helo = c;
  helo.now.at += 10;
  helo.now.rung = OFFERS_HELO;
  helo.now.verbs = 0;
  assert_true(offers_is_news(o, &helo));
  assert_int_equal(note(&helo), 0); /* it changed today already: a farm */
  slow = helo;
  slow.now.at += OFFERS_DAY;
  slow.now.banner = OFFERS_SLOW;
  assert_int_equal(note(&slow), 1);
  assert_int_equal(all(), 1);
  assert_int_equal(found.before.rung, OFFERS_HELO);
}

static void test_without_a_file(void **state)
{
  struct offers_card c = greeting(1, T0, 0);

  (void)state;
  assert_false(offers_is_news(NULL, &c));
}

/* more hosts than the file has places: those greeted longest ago make room */
static void test_many(void **state)
{
  (void)state;
  for (unsigned int i = 0; i < 70000; i++) {
    struct offers_card c = greeting(i, T0 + i, VERB_SIZE);
    note(&c);
  }
  assert_true(all() > 40000 && cards <= 65536);
  for (unsigned int i = 69990; i < 70000; i++) {
    struct offers_card c = greeting(i, T0 + i, VERB_SIZE);
    assert_false(offers_is_news(o, &c));
  }
}

static void test_kept(void **state)
{
  struct offers_card c = greeting(1, T0, VERB_SIZE);
  struct offers *reader;

  (void)state;
  note(&c);
  reader = offers_read(state_fd);
  assert_non_null(reader);
  assert_false(offers_is_news(reader, &c));
  c.now.verbs = 0;
  assert_true(offers_is_news(reader, &c));
  note(&c);
  assert_false(offers_is_news(reader, &c)); /* it sees what is written */
  offers_close(reader);
  offers_close(o);
  o = offers_open(state_fd);
  assert_non_null(o);
  assert_false(offers_is_news(o, &c));
}

static void test_spoilt(void **state)
{
  struct offers_card c = greeting(1, T0, VERB_SIZE);
  int fd;

  (void)state;
  note(&c);
  offers_close(o);
  fd = openat(state_fd, "offers", O_WRONLY);
  assert_int_equal(pwrite(fd, "x", 1, 0), 1);
  close(fd);
  assert_null(offers_read(state_fd));
  o = offers_open(state_fd);
  assert_non_null(o);
  assert_int_equal(all(), 0);
  note(&c);
  fd = openat(state_fd, "offers", O_WRONLY); /* cards of anything */
  for (size_t i = sizeof c; i < 60000; i += 7)
    assert_int_equal(pwrite(fd, "\x04\x19\xff\xff\xff\xff\xff", 7, (off_t)i), 7);
  close(fd);
  all();
  for (const char *s = found.host; *s; s++)
    assert_true(*s > 32 && *s < 127);
  assert_true(found.now.rung <= OFFERS_HELO && found.now.verbs < 1U << VERB_COUNT);
}

/* somebody cuts the file short under who has it open: what was known is gone, nobody dies */
static void test_cut_short(void **state)
{
  struct offers_card c = greeting(1, T0, VERB_SIZE);
  struct offers *reader = offers_read(state_fd);
  int fd = openat(state_fd, "offers", O_WRONLY);

  (void)state;
  note(&c);
  assert_int_equal(ftruncate(fd, 0), 0);
  close(fd);
  assert_true(offers_is_news(reader, &c));
  assert_int_equal(all(), 0);
  assert_int_equal(note(&c), 0);
  assert_false(offers_is_news(reader, &c));
  assert_int_equal(fcntl(offers_descriptor(o), F_GETFL) & O_ACCMODE, O_RDONLY);
  offers_close(reader);
}

static void test_words(void **state)
{
  enum offers_rung r;

  (void)state;
  assert_int_equal(offers_rung_read("HELO", 4, &r), 0);
  assert_int_equal(r, OFFERS_HELO);
  assert_int_equal(offers_rung_read("none", 4, &r), -1);
  assert_int_equal(offers_rung_read("EHL", 3, &r), -1);
  assert_string_equal(offers_rung_word(OFFERS_EHLO), "EHLO");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {TEST(test_changes), TEST(test_without_a_file), TEST(test_many),
                                     TEST(test_kept), TEST(test_spoilt), TEST(test_words),
                                     TEST(test_cut_short)};

  return cmocka_run_group_tests_name("offers", tests, NULL, NULL);
}

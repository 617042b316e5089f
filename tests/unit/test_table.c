/* test_table.c - the compiled tables: look-ups, and that tinycdb's functions were linked
 *
 * libowfat has functions of tinycdb's names for other structs. test_record_length is the guard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/table.h"

static int fresh_file(void)
{
  int fd = memfd_create("tables", MFD_CLOEXEC);

  assert_true(fd >= 0);
  return fd;
}

static void put(struct table_maker *m, const char *name, const char *key, const char *value)
{
  assert_int_equal(table_maker_add(m, name, key, strlen(key), value, strlen(value)), 0);
}

static void put_net(struct table_maker *m, const char *name, const char *prefix, const char *net, const char *value)
{
  struct ip_net n;

  assert_int_equal(ip_net_parse(net, strlen(net), &n), 0);
  assert_int_equal(table_maker_add_net(m, name, prefix, &n, value, strlen(value)), 0);
}

static int make(void)
{
  int fd = fresh_file();
  struct table_maker *m = table_maker_start(fd);

  assert_non_null(m);
  put(m, "settings", "hostname", "mail.example.org");
  put(m, "settings", "empty", "");
  put(m, "domains", "example.org", "local");
  put(m, "domains", ".example.org", "relay");
  put(m, "domains", ".sub.example.org", "virtual");
  put(m, "domains", "*", "any");
  put(m, "routes", "example.org", "mx");
  put_net(m, "access", "client:", "192.0.2.0/24", "net24");
  put_net(m, "access", "client:", "192.0.2.128/25", "net25");
  put_net(m, "access", "client:", "192.0.2.200", "one");
  put_net(m, "access", "client:", "0.0.0.0/0", "all4");
  put_net(m, "access", "client:", "2001:db8::/32", "six32");
  put_net(m, "access", "client:", "2001:db8:1::/48", "six48");
  put_net(m, "verbs", "", "10.0.0.0/8", "ten");
  put(m, "verbs", "*", "star");
  assert_int_equal(table_maker_finish(m), 0);
  return fd;
}

static struct table *opened(void)
{
  int fd = make();
  struct table *t = table_open(fd);

  assert_non_null(t);
  close(fd); /* the table has its own */
  return t;
}

static const char *got(int found, const struct table_value *v)
{
  if (!found)
    return "(none)";
  assert_int_equal(strlen(v->s), v->len);
  return v->s;
}

/* with libowfat's cdb functions the length is not this, or the program dies */
static void test_record_length(void **state)
{
  static char value[70000];
  static const size_t lens[] = {0, 1, 2, 255, 256, 4095, 65536, 69999};
  char key[2] = "a";
  int fd = fresh_file();
  struct table_maker *m = table_maker_start(fd);
  struct table *t;

  (void)state;
  memset(value, 'v', sizeof value);
  for (size_t i = 0; i < sizeof lens / sizeof *lens; i++, key[0]++)
    assert_int_equal(table_maker_add(m, "n", key, 1, value, lens[i]), 0);
  assert_int_equal(table_maker_finish(m), 0);
  t = table_open(fd);
  assert_non_null(t);
  key[0] = 'a';
  for (size_t i = 0; i < sizeof lens / sizeof *lens; i++, key[0]++) {
    char raw[3] = {'n', 0, key[0]};
    struct table_value v;
    assert_int_equal(table_raw_length(t, raw, 3), (long)lens[i] + 1);
    assert_int_equal(table_get(t, "n", key, 1, &v), 1);
    assert_int_equal(v.len, lens[i]);
    assert_int_equal(strlen(v.s), lens[i]);
  }
  assert_int_equal(table_raw_length(t, "n\0z", 3), -1);
  table_close(t);
  close(fd);
}

static void test_get(void **state)
{
  static const struct {
    const char *name, *key, *want;
  } rows[] = {{"settings", "hostname", "mail.example.org"}, {"settings", "empty", ""}, {"settings", "hostnam", "(none)"},
              {"settings", "hostname2", "(none)"}, {"setting", "hostname", "(none)"}, {"settings", "", "(none)"},
              {"domains", "EXAMPLE.org", "(none)"}, {"", "format", "(none)"}, {"nosuch", "x", "(none)"}};
  struct table *t = opened();
  struct table_value v;
  char big[5000];

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_string_equal(got(table_get(t, rows[i].name, rows[i].key, strlen(rows[i].key), &v), &v), rows[i].want);
  memset(big, 'x', sizeof big);
  assert_int_equal(table_get(t, "settings", big, sizeof big, &v), 0); /* longer than any key */
  assert_int_equal(table_get(NULL, "settings", "hostname", 8, &v), 0);
  table_close(t);
}

static void test_domain(void **state)
{
  static const struct {
    const char *name, *domain, *want;
  } rows[] = {{"domains", "example.org", "local"},       {"domains", "Example.ORG", "local"},
              {"domains", "a.example.org", "relay"},     {"domains", "b.a.Example.org", "relay"},
              {"domains", "sub.example.org", "relay"},   {"domains", "x.sub.example.org", "virtual"},
              {"domains", "notexample.org", "any"},      {"domains", "org", "any"},
              {"domains", "", "any"},                    {"routes", "example.org", "mx"},
              {"routes", "a.example.org", "(none)"},     {"routes", "", "(none)"},
              {"nosuch", "example.org", "(none)"}};
  struct table *t = opened();
  struct table_value v;
  char big[5000];

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_string_equal(got(table_domain(t, rows[i].name, rows[i].domain, strlen(rows[i].domain), &v), &v),
                        rows[i].want);
  memset(big, '.', sizeof big);
  assert_string_equal(got(table_domain(t, "domains", big, sizeof big, &v), &v), "any");
  table_close(t);
}

static void test_net(void **state)
{
  static const struct {
    const char *name, *prefix, *ip, *want;
  } rows[] = {{"access", "client:", "192.0.2.200", "one"},      {"access", "client:", "192.0.2.201", "net25"},
              {"access", "client:", "192.0.2.1", "net24"},      {"access", "client:", "192.0.3.1", "all4"},
              {"access", "client:", "2001:db8:1::1", "six48"},  {"access", "client:", "2001:db8:2::1", "six32"},
              {"access", "client:", "2001:db9::1", "(none)"},   {"access", "client:", "::ffff:192.0.2.200", "one"},
              {"access", "host:", "192.0.2.1", "(none)"},       {"access", "", "192.0.2.1", "(none)"},
              {"verbs", "", "10.1.2.3", "ten"},                 {"verbs", "", "11.1.2.3", "star"},
              {"verbs", "", "2001:db8::1", "star"},             {"nosuch", "", "10.1.2.3", "(none)"}};
  struct table *t = opened();

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct table_value v;
    struct ip ip;
    assert_int_equal(ip_parse(rows[i].ip, strlen(rows[i].ip), &ip), 0);
    if (strcmp(got(table_net(t, rows[i].name, rows[i].prefix, &ip, &v), &v), rows[i].want) != 0)
      fail_msg("%s %s%s: not %s", rows[i].name, rows[i].prefix, rows[i].ip, rows[i].want);
    assert_int_equal(table_net(NULL, rows[i].name, rows[i].prefix, &ip, &v), 0);
  }
  table_close(t);
}

/* all prefix lengths at once: the most specific one that covers the address wins */
static void test_every_prefix(void **state)
{
  static const char *const addresses[] = {"198.51.100.77", "2001:db8:1:2:3:4:5:6"};

  (void)state;
  for (size_t a = 0; a < 2; a++) {
    int fd = fresh_file();
    struct table_maker *m = table_maker_start(fd);
    struct table *t;
    struct ip ip;
    unsigned int most;
    assert_int_equal(ip_parse(addresses[a], strlen(addresses[a]), &ip), 0);
    most = ip.family == 4 ? 32 : 128;
    for (unsigned int bits = 0; bits <= most; bits += 4) {
      struct ip_net net = {ip_mask(&ip, bits), bits};
      char value = (char)('A' + bits / 4);
      assert_int_equal(table_maker_add_net(m, "n", "", &net, &value, 1), 0);
      assert_int_equal(table_maker_add_net(m, "n", "", &net, &value, 1), 1);
    }
    assert_int_equal(table_maker_finish(m), 0);
    t = table_open(fd);
    for (unsigned int flip = 0; flip < most; flip++) {
      struct ip other = ip;
      struct table_value v;
      other.bytes[flip / 8] ^= (unsigned char)(0x80 >> flip % 8);
      assert_int_equal(table_net(t, "n", "", &other, &v), 1);
      assert_int_equal(v.s[0], 'A' + flip / 4);
    }
    table_close(t);
    close(fd);
  }
}

struct seen {
  int n, stop_at;
  char keys[200];
};

static int see(void *arg, const char *key, size_t len, const struct table_value *v)
{
  struct seen *s = arg;

  assert_int_equal(strlen(v->s), v->len);
  strncat(s->keys, key, len);
  strcat(s->keys, " ");
  return ++s->n == s->stop_at ? 7 : 0;
}

static void test_each(void **state)
{
  struct table *t = opened();
  struct seen all = {0}, some = {.stop_at = 2}, nets = {0}, none = {0};

  (void)state;
  assert_int_equal(table_each(t, "domains", see, &all), 0);
  assert_string_equal(all.keys, "example.org .example.org .sub.example.org * ");
  assert_int_equal(table_each(t, "domains", see, &some), 7);
  assert_int_equal(some.n, 2);
  assert_int_equal(table_each(t, "verbs", see, &nets), 0); /* not the list of sizes */
  assert_string_equal(nets.keys, "10.0.0.0/8 * ");
  assert_int_equal(table_each(t, "domain", see, &none), 0);
  assert_int_equal(table_each(NULL, "domains", see, &none), 0);
  assert_int_equal(none.n, 0);
  table_close(t);
}

static void test_maker(void **state)
{
  int fd = fresh_file();
  struct table_maker *m = table_maker_start(fd);
  char big[2000];

  (void)state;
  memset(big, 'k', sizeof big);
  assert_int_equal(table_maker_add(m, "n", "a", 1, "1", 1), 0);
  assert_int_equal(table_maker_add(m, "n", "a", 1, "2", 1), 1); /* the first one stays */
  assert_int_equal(table_maker_add(m, "n", "", 0, "x", 1), -1);
  assert_int_equal(table_maker_add(m, "n", "\0x", 2, "x", 1), -1);
  assert_int_equal(table_maker_add(m, "n", big, sizeof big, "x", 1), -1);
  assert_int_equal(table_maker_finish(m), 0);
  close(fd);
}

/* a file that is cut, changed or something else is refused or gives wrong values, and no more */
static void test_hostile_files(void **state)
{
  int whole = make(), fd;
  off_t size = lseek(whole, 0, SEEK_END);
  char *bytes = malloc((size_t)size);
  struct table *t;

  (void)state;
  assert_int_equal(pread(whole, bytes, (size_t)size, 0), size);
  for (off_t len = 0; len < size; len += len < 2100 ? 41 : 1) {
    struct table_value v;
    struct ip ip = {4, {192, 0, 2, 1}};
    fd = fresh_file();
    assert_int_equal(write(fd, bytes, (size_t)len), len);
    t = table_open(fd);
    if (t) {
      table_get(t, "settings", "hostname", 8, &v);
      table_net(t, "access", "client:", &ip, &v);
      table_close(t);
    }
    close(fd);
  }
  for (off_t at = 0; at < size; at++) {
    struct table_value v;
    fd = fresh_file();
    bytes[at] ^= (char)0xff;
    assert_int_equal(write(fd, bytes, (size_t)size), size);
    bytes[at] ^= (char)0xff;
    t = table_open(fd);
    if (t) {
      table_get(t, "settings", "hostname", 8, &v);
      table_domain(t, "domains", "a.example.org", 13, &v);
      table_close(t);
    }
    close(fd);
  }
  free(bytes);
  close(whole);
}

static void test_not_tables(void **state)
{
  int fd = fresh_file(), pipes[2];
  struct table *t;

  (void)state;
  assert_null(table_open(fd)); /* empty */
  assert_null(table_open(-1));
  assert_int_equal(errno, EBADF);
  assert_int_equal(pipe(pipes), 0);
  assert_null(table_open(pipes[0]));
  close(pipes[0]);
  close(pipes[1]);
  close(fd);
  table_close(NULL);
  t = opened();
  fd = table_dup(t);
  table_close(t);
  t = table_open(fd);
  assert_non_null(t);
  table_close(t);
  close(fd);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_record_length), cmocka_unit_test(test_get),   cmocka_unit_test(test_domain),
    cmocka_unit_test(test_net),           cmocka_unit_test(test_every_prefix), cmocka_unit_test(test_each),
    cmocka_unit_test(test_maker),         cmocka_unit_test(test_hostile_files),
    cmocka_unit_test(test_not_tables),
  };
  return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}

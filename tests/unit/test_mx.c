/* test_mx.c - mail exchangers and addresses, from a resolver that says what the test wants */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/chan.h"
#include "resolve/answer.h"

/* what the resolver knows: a word instead of records is a status */
static const struct {
  const char *name, *type, *records; /* "10 mx.example,20 other" or "192.0.2.1,192.0.2.2" */
} zone[] = {
  {"one.example", "MX", "10 mx.one.example"},
  {"sorted.example", "MX", "30 c.example,10 a.example,20 b.example"},
  {"twice.example", "MX", "30 a.example,10 A.example,20 b.example"},
  {"null.example", "MX", "0 ."},
  {"mixed.example", "MX", "0 .,10 mx.example"},
  {"junk.example", "MX", "10 192.0.2.1,20 a b"},
  {"bad.example", "MX", "malformed"},
  {"empty.example", "MX", ""},
  {"none.example", "MX", "nodata"},
  {"gone.example", "MX", "nxdomain"},
  {"broken.example", "MX", "failed"},
  {"forged.example", "MX", "bogus"},
  {"xn--mnchen-3ya.example", "MX", "10 mx.example"},
  {"silent.example", "MX", "silence"},
  {"large.example", "MX", "large"},
  {"both.example", "A", "192.0.2.1,192.0.2.2,192.0.2.3"},
  {"both.example", "AAAA", "2001:db8::1"},
  {"four.example", "A", "192.0.2.1"},
  {"four.example", "AAAA", "nodata"},
  {"half.example", "A", "192.0.2.1"},
  {"half.example", "AAAA", "failed"},
  {"perhaps.example", "A", "nodata"},
  {"perhaps.example", "AAAA", "failed"},
  {"bare.example", "A", "nodata"},
  {"bare.example", "AAAA", "nodata"},
  {"gone.example", "A", "nxdomain"},
  {"gone.example", "AAAA", "nxdomain"},
  {"self.example", "A", "0.0.0.0"},
  {"self.example", "AAAA", "nodata"},
};

static void add_name(stralloc *out, const char *name)
{
  while (*name && strcmp(name, ".") != 0) {
    size_t n = strcspn(name, ".");
    stralloc_append(out, &(char){(char)n});
    stralloc_catb(out, name, n);
    name += n + (name[n] == '.');
  }
  stralloc_append(out, "");
}

static void add_record(stralloc *out, const char *type, const char *text, size_t len)
{
  stralloc rdata = {0};
  struct ip ip;
  char copy[300];
  int preference, used;

  memcpy(copy, text, len);
  copy[len] = 0;
  if (strcmp(type, "MX") != 0) {
    assert_int_equal(ip_parse(text, len, &ip), 0);
    stralloc_copyb(&rdata, (char *)ip.bytes, ip.family == 4 ? 4 : 16);
  } else {
    sscanf(copy, "%d %n", &preference, &used);
    stralloc_append(&rdata, &(char){(char)(preference >> 8)});
    stralloc_append(&rdata, &(char){(char)preference});
    add_name(&rdata, copy + used);
  }
  answer_add(out, rdata.s, rdata.len);
  free(rdata.s);
}

static void add_records(stralloc *out, const char *type, const char *list)
{
  while (*list) {
    size_t n = strcspn(list, ",");
    add_record(out, type, list, n);
    list += n + (list[n] == ',');
  }
}

/* three hosts of preference 5, then ever better ones from 997 down to 701 */
static void add_large(stralloc *out)
{
  char text[64];

  for (int i = 0; i < 300; i++)
    add_record(out, "MX", text, (size_t)sprintf(text, "%d h%d.example", i < 3 ? 5 : 1000 - i, i));
}

static const char *know(const struct wire_msg *m)
{
  for (size_t i = 0; i < sizeof zone / sizeof *zone; i++)
    if (wire_is(m, 1, zone[i].name) && wire_is(m, 2, zone[i].type))
      return zone[i].records;
  return "failed";
}

static void answer(int sock, const struct wire_msg *m, uint64_t number)
{
  const char *records = know(m), *type = wire_is(m, 2, "MX") ? "MX" : "A", *status = "ok";
  struct wire_out o;
  stralloc wire = {0};
  enum ask_status st;

  if (strcmp(records, "silence") == 0)
    return;
  if (answer_status_read(records, strlen(records), &st) == 0)
    status = records;
  else if (strcmp(records, "malformed") == 0)
    stralloc_copyb(&wire, "\0", 1);
  else if (strcmp(records, "large") == 0)
    add_large(&wire);
  else if (strcmp(records, "bogus") == 0)
    add_records(&wire, "MX", "10 mx.example");
  else
    add_records(&wire, type, records);
  wire_start(&o, WIRE_ANSWER);
  wire_num(&o, number);
  wire_str(&o, status);
  wire_str(&o, strcmp(records, "bogus") == 0 ? "bogus" : "insecure");
  wire_str(&o, "");
  wire_num(&o, 60);
  wire_bytes(&o, wire.s ? wire.s : "", wire.len);
  chan_send_blocking(sock, &o, -1);
  free(wire.s);
}

/* a resolver in a process of its own; every answer comes after a late one to no question */
static int resolver(void **state)
{
  static int sock;
  int fd[2];

  assert_int_equal(chan_pair(fd), 0);
  if (fork() == 0) {
    struct wire_msg m;
    uint64_t number;
    close(fd[0]);
    while (chan_recv_blocking(fd[1], LINK_ASK, WIRE_HIGH, -1, &m) == 1) {
      wire_get_num(&m, 0, UINT64_MAX, &number);
      answer(fd[1], &m, number + 1000);
      answer(fd[1], &m, number);
    }
    _exit(0);
  }
  close(fd[1]);
  sock = fd[0];
  *state = &sock;
  return 0;
}

static int end(void **state)
{
  int how;

  close(*(int *)*state);
  wait(&how);
  return 0;
}

static void finds_exchangers(void **state)
{
  static const struct {
    const char *domain;
    enum verdict v;
    const char *status, *hosts;
    int is_implicit;
  } rows[] = {
    {"one.example", V_OK, "2.0.0", "mx.one.example", 0},
    {"ONE.Example.", V_OK, "2.0.0", "mx.one.example", 0},
    {"sorted.example", V_OK, "2.0.0", "a.example b.example c.example", 0},
    {"twice.example", V_OK, "2.0.0", "a.example b.example", 0},
    {"null.example", V_PERM, "5.1.10", "", 0},
    {"mixed.example", V_OK, "2.0.0", "mx.example", 0},
    {"junk.example", V_TEMP, "4.4.4", "", 0},
    {"bad.example", V_TEMP, "4.4.3", "", 0},
    {"empty.example", V_TEMP, "4.4.3", "", 0},
    {"none.example", V_OK, "2.0.0", "none.example", 1},
    {"gone.example", V_PERM, "5.1.2", "", 0},
    {"broken.example", V_TEMP, "4.4.3", "", 0},
    {"forged.example", V_TEMP, "4.4.3", "", 0},
    {"m\xc3\xbcnchen.example", V_OK, "2.0.0", "mx.example", 0},
    {"no domain", V_PERM, "5.1.2", "", 0},
    {"", V_PERM, "5.1.2", "", 0},
    {"192.0.2.7", V_OK, "2.0.0", "192.0.2.7", 1},
    {"[IPv6:2001:db8::7]", V_OK, "2.0.0", "2001:db8::7", 1},
  };
  stralloc why = {0};

  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    static struct mx_list list;
    const char *status;
    char hosts[600] = "";
    enum verdict v = mx_find(*(int *)*state, rows[i].domain, 5000, &list, &status, &why);
    for (size_t h = 0; h < list.n; h++)
      sprintf(hosts + strlen(hosts), "%s%s", h ? " " : "", list.host[h].name);
    if (v != rows[i].v || strcmp(status, rows[i].status) != 0 ||
        strcmp(hosts, rows[i].hosts) != 0 || (v == V_OK && list.is_implicit != rows[i].is_implicit))
      fail_msg("%s: %s %s %s %s", rows[i].domain, verdict_word(v), status, hosts, why.s);
    if (v != V_OK)
      assert_int_equal(strlen(why.s), why.len);
  }
  free(why.s);
}

static void finds_addresses(void **state)
{
  static const struct {
    const char *host;
    enum verdict v;
    const char *status, *ips;
  } rows[] = {
    {"both.example", V_OK, "2.0.0", "2001:db8::1 192.0.2.1 192.0.2.2 192.0.2.3"},
    {"four.example", V_OK, "2.0.0", "192.0.2.1"},
    {"half.example", V_OK, "2.0.0", "192.0.2.1"},
    {"perhaps.example", V_TEMP, "4.4.3", ""},
    {"bare.example", V_PERM, "5.4.4", ""},
    {"gone.example", V_PERM, "5.1.2", ""},
    {"self.example", V_TEMP, "4.4.3", ""},
    {"127.0.0.1", V_OK, "2.0.0", "127.0.0.1"},
    {"::1", V_OK, "2.0.0", "::1"},
    {"a b", V_PERM, "5.1.2", ""},
  };
  stralloc why = {0};

  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct ip ip[MX_ADDRESSES_MAX];
    const char *status;
    char ips[600] = "";
    size_t n;
    enum verdict v = mx_addresses(*(int *)*state, rows[i].host, 5000, ip, &n, &status, &why);
    for (size_t h = 0; h < n; h++) {
      char text[IP_TEXT];
      ip_format(text, &ip[h]);
      sprintf(ips + strlen(ips), "%s%s", h ? " " : "", text);
    }
    if (v != rows[i].v || strcmp(status, rows[i].status) != 0 || strcmp(ips, rows[i].ips) != 0)
      fail_msg("%s: %s %s %s", rows[i].host, verdict_word(v), status, ips);
  }
  free(why.s);
}

/* equal preferences come in another order now and then; a large answer keeps its best */
static void shuffles_and_bounds(void **state)
{
  static struct mx_list list;
  const char *status;
  stralloc why = {0};
  int first[3] = {0};

  for (int round = 0; round < 60; round++) {
    assert_int_equal(mx_find(*(int *)*state, "large.example", 5000, &list, &status, &why), V_OK);
    assert_int_equal(list.n, MX_HOSTS_MAX);
    assert_int_equal(list.host[2].preference, 5);
    assert_int_equal(list.host[3].preference, 701);
    assert_int_equal(list.host[MX_HOSTS_MAX - 1].preference, 701 + MX_HOSTS_MAX - 4);
    first[list.host[0].name[1] - '0']++;
  }
  assert_true(first[0] > 0 && first[1] > 0 && first[2] > 0);
  free(why.s);
}

static void gives_up_in_time(void **state)
{
  static struct mx_list list;
  const char *status;
  stralloc why = {0};
  int fd[2];

  assert_int_equal(mx_find(*(int *)*state, "silent.example", 60, &list, &status, &why), V_TEMP);
  assert_string_equal(status, "4.4.3");
  assert_int_equal(mx_find(-1, "one.example", 60, &list, &status, &why), V_TEMP);
  assert_int_equal(chan_pair(fd), 0);
  close(fd[1]);
  assert_int_equal(mx_find(fd[0], "one.example", 5000, &list, &status, &why), V_TEMP);
  close(fd[0]);
  free(why.s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(finds_exchangers, resolver, end),
    cmocka_unit_test_setup_teardown(finds_addresses, resolver, end),
    cmocka_unit_test_setup_teardown(shuffles_and_bounds, resolver, end),
    cmocka_unit_test_setup_teardown(gives_up_in_time, resolver, end),
  };

  return cmocka_run_group_tests_name("mx", tests, NULL, NULL);
}

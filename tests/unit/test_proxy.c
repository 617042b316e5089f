/* test_proxy.c - the PROXY header, version 1 and 2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "smtpd/proxy.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define ADDRESSES "\300\0\2\1\306\063\144\1" /* 192.0.2.1, 198.51.100.1 */
#define PORTS "\x12\x67\0\x19"               /* 4711, 25 */
#define OF(s) s, sizeof s - 1

static const struct {
  const char *s;
  size_t len;
  const char *client; /* "": none; NULL: refused */
  size_t used;        /* 0: all */
} cases[] = {
  {OF("PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\r\n"), "192.0.2.1:4711", 0},
  {OF("PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\r\nEHLO x\r\n"), "192.0.2.1:4711", 43},
  {OF("PROXY TCP6 2001:db8::1 2001:db8::2 1 0\r\n"), "[2001:db8::1]:1", 0},
  {OF("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 0\r\n"), "192.0.2.1:1", 0},
  {OF("PROXY UNKNOWN\r\n"), "", 0},
  {OF("PROXY UNKNOWN who knows\r\n"), "", 0},
  {OF("PROXY UNKNOWNS\r\n"), NULL, 0},
  {OF("PROXY \r\n"), NULL, 0},
  {OF("PROXY TCP4 192.0.2.1 198.51.100.1 4711 25\n"), NULL, 0},
  {OF("PROXY TCP4 192.0.2.1 198.51.100.1 4711 25 \r\n"), NULL, 0},
  {OF("PROXY TCP4  192.0.2.1 198.51.100.1 4711 25\r\n"), NULL, 0},
  {OF("PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n"), NULL, 0},
  {OF("PROXY TCP4 192.0.2.1 198.51.100.1 04711 25\r\n"), NULL, 0},
  {OF("PROXY TCP4 192.0.2.1 198.51.100.1 65536 25\r\n"), NULL, 0},
  {OF("PROXY TCP4 192.0.2.1 198.51.100.1 -1 25\r\n"), NULL, 0},
  {OF("PROXY TCP4 192.0.2.256 198.51.100.1 1 25\r\n"), NULL, 0},
  {OF("PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n"), NULL, 0},
  {OF("PROXY TCP6 192.0.2.1 198.51.100.1 1 25\r\n"), NULL, 0},
  {OF("PROXY UDP4 192.0.2.1 198.51.100.1 1 25\r\n"), NULL, 0},
  {OF("PROXY TCP4 192.0.2.1\r 198.51.100.1 1 25\r\n"), NULL, 0},
  {OF("proxy TCP4 192.0.2.1 198.51.100.1 1 25\r\n"), NULL, 0},
  {OF("EHLO client.example\r\n"), NULL, 0},
  {OF(V2 "\x21\x11\0\x0c" ADDRESSES PORTS), "192.0.2.1:4711", 0},
  {OF(V2 "\x21\x11\0\x0c" ADDRESSES PORTS "EHLO"), "192.0.2.1:4711", 28},
  {OF(V2 "\x21\x11\0\x13" ADDRESSES PORTS "\4\0\4abcd"), "192.0.2.1:4711", 0},
  {OF(V2 "\x21\x11\0\x10" ADDRESSES PORTS "\4\0\4a"), NULL, 0},
  {OF(V2 "\x21\x21\0\x24" "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1" PORTS),
   "[2001:db8::1]:4711", 0},
  {OF(V2 "\x20\0\0\0"), "", 0},
  {OF(V2 "\x20\x11\0\x0c" ADDRESSES PORTS), "", 0},
  {OF(V2 "\x21\0\0\0"), "", 0},
  {OF(V2 "\x21\x12\0\x0c" ADDRESSES PORTS), NULL, 0},
  {OF(V2 "\x21\x11\0\x04" PORTS), NULL, 0},
  {OF(V2 "\x22\x11\0\x0c" ADDRESSES PORTS), NULL, 0},
  {OF(V2 "\x11\x11\0\x0c" ADDRESSES PORTS), NULL, 0},
  {OF(V2 "\x21\x11\xff\xff"), NULL, 0},
  {OF("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c" ADDRESSES PORTS), NULL, 0},
};

static void headers(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *why = "";
    char client[IP_PORT_TEXT] = "";
    struct proxy p;
    size_t used, want = cases[i].used ? cases[i].used : cases[i].len;
    enum proxy_state r = proxy_parse(cases[i].s, cases[i].len, &p, &used, &why);
    print_message("# %zu %s\n", i, why);
    assert_int_equal(r, cases[i].client ? PROXY_DONE : PROXY_BAD);
    if (!cases[i].client)
      continue;
    assert_int_equal(used, want);
    if (p.has_address)
      ip_port_format(client, &p.ip, p.port);
    assert_string_equal(client, cases[i].client);
    for (size_t n = 0; n < want; n++)
      assert_int_equal(proxy_parse(cases[i].s, n, &p, &used, &why), PROXY_MORE);
  }
}

/* what never ends is refused in time */
static void bounds(void **state)
{
  char many[PROXY_MAX];
  struct proxy p;
  size_t used;
  const char *why;

  (void)state;
  memset(many, 'x', sizeof many);
  memcpy(many, "PROXY UNKNOWN ", 14);
  assert_int_equal(proxy_parse(many, 106, &p, &used, &why), PROXY_MORE);
  assert_int_equal(proxy_parse(many, 107, &p, &used, &why), PROXY_BAD);
  memcpy(many + 105, "\r\n", 2);
  assert_int_equal(proxy_parse(many, 107, &p, &used, &why), PROXY_DONE);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(headers), cmocka_unit_test(bounds)};

  return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}

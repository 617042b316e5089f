/* fuzz_ip.c - what is taken is written and read back as the same */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/ip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_ip(const struct ip *ip)
{
  char text[IP_TEXT];
  struct ip back;
  size_t n = ip_format(text, ip);

  if (n >= IP_TEXT || ip_parse(text, n, &back) != 0 || !ip_equal(ip, &back))
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *s = (const char *)data;
  char text[IP_PORT_TEXT];
  struct ip ip, back;
  struct ip_net net;
  uint16_t port, port_back;

  if (ip_parse(s, len, &ip) == 0)
    check_ip(&ip);
  if (ip_net_parse(s, len, &net) == 0) {
    check_ip(&net.ip);
    if (net.bits > (net.ip.family == 4 ? 32 : 128) || !ip_in_net(&net.ip, &net))
      abort();
  }
  if (ip_port_parse(s, len, &ip, &port) == 0) {
    size_t n = ip_port_format(text, &ip, port);
    if (n >= IP_PORT_TEXT || ip_port_parse(text, n, &back, &port_back) != 0 || !ip_equal(&ip, &back) ||
        port != port_back)
      abort();
  }
  return 0;
}

/* fuzz_dnsanswers.c - answers about a client: its names, addresses and a list's text */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/dnsanswers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(int fact)
{
  if (!fact)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static char names[DNSANSWERS_NAMES][ASK_NAME_MAX + 1];
  char text[DNSANSWERS_TEXT];
  struct ip ip[16];
  const char *s = (const char *)data;
  size_t n = dnsanswers_names(s, len, names);

  check(n <= DNSANSWERS_NAMES);
  for (size_t i = 0; i < n; i++) {
    check(*names[i] && strlen(names[i]) <= 253);
    for (const char *p = names[i]; *p; p++)
      check((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '_' || *p == '.');
  }
  n = dnsanswers_addresses(s, len, ip, 16);
  check(n <= 16);
  for (size_t i = 0; i < n; i++)
    check(ip[i].family == 4 || ip[i].family == 6);
  dnsanswers_text(s, len, text);
  check(memchr(text, 0, sizeof text) != NULL);
  for (const char *p = text; *p; p++)
    check(*p >= 32 && *p <= 126);
  return 0;
}

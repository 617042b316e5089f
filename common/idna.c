/* idna.c - domains in U-labels, as A-labels: the form that tables and DNS have. Pure.
 *
 * The domain is hostile bytes, at most what address_parse() took. */
#include "common/idna.h"

#include <stdint.h>
#include <string.h>

#include <idn2.h>

int idna_is_needed(const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)s[i] >= 128)
      return 1;
  return 0;
}

static size_t put_lower(const char *s, size_t len, char *out)
{
  for (size_t i = 0; i < len; i++)
    out[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
  out[len] = 0;
  return len;
}

static size_t convert(const char *domain, size_t len, char *out)
{
  char utf8[IDNA_MAX + 1], *alabels = NULL;
  size_t n = 0;

  memcpy(utf8, domain, len);
  utf8[len] = 0;
  if (idn2_lookup_u8((const uint8_t *)utf8, (uint8_t **)&alabels,
                     IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
      strlen(alabels) < IDNA_MAX)
    n = put_lower(alabels, strlen(alabels), out);
  idn2_free(alabels);
  return n;
}

size_t idna_ascii(const char *domain, size_t len, char out[IDNA_MAX + 1])
{
  size_t n;

  if (len > IDNA_MAX || memchr(domain, 0, len))
    return 0;
  if (!idna_is_needed(domain, len))
    return put_lower(domain, len, out);
  if (domain[0] != '.')
    return convert(domain, len, out);
  n = convert(domain + 1, len - 1, out + 1);
  out[0] = '.';
  return n ? n + 1 : 0;
}

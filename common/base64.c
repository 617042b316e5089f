/* base64.c - base64 as RFC 4648 4 has it: with padding, without line ends. Pure.
 *
 * OpenSSL does the work; it takes more than we do (white space, anything after the
 * padding), so the form is checked here first. */
#include "common/base64.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>

static int is_digit64(char c)
{
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '/';
}

/* how many of the last bytes are padding; -1 when s is no base64 */
static int padding(const char *s, size_t len)
{
  size_t digits = len;

  if (len % 4 != 0 || len > INT_MAX / 2)
    return -1;
  while (digits > 0 && len - digits < 2 && s[digits - 1] == '=')
    digits--;
  for (size_t i = 0; i < digits; i++)
    if (!is_digit64(s[i]))
      return -1;
  return (int)(len - digits);
}

int base64_decode(const char *s, size_t len, stralloc *out)
{
  int n, pad = padding(s, len);

  errno = EINVAL;
  out->len = 0;
  if (pad < 0)
    return -1;
  errno = ENOMEM;
  if (!stralloc_ready(out, len / 4 * 3 + 1))
    return -1;
  n = EVP_DecodeBlock((unsigned char *)out->s, (const unsigned char *)s, (int)len);
  errno = EINVAL;
  if (n < pad)
    return -1;
  out->len = (size_t)(n - pad);
  return 0;
}

int base64_encode(stralloc *out, const char *s, size_t len)
{
  errno = ENOMEM;
  if (len > INT_MAX / 2 || !stralloc_readyplus(out, (len + 2) / 3 * 4 + 1))
    return -1;
  out->len += (size_t)EVP_EncodeBlock((unsigned char *)out->s + out->len, (const unsigned char *)s,
                                      (int)len);
  return 0;
}

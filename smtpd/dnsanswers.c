/* dnsanswers.c - what is read out of DNS answers about clients. Pure; all input is hostile. */
#include "smtpd/dnsanswers.h"

#include <string.h>

#include "resolve/answer.h"

size_t dnsanswers_addresses(const char *records, size_t len, struct ip *out, size_t max)
{
  struct answer_record r;
  size_t at = 0, n = 0;

  while (n < max && answer_next(records, len, &at, &r) > 0)
    if (answer_ip(&r, &out[n]) == 0)
      n++;
  return n;
}

size_t dnsanswers_names(const char *records, size_t len,
                        char out[DNSANSWERS_NAMES][ASK_NAME_MAX + 1])
{
  struct answer_record r;
  size_t at = 0, n = 0;

  while (n < DNSANSWERS_NAMES && answer_next(records, len, &at, &r) > 0)
    if (answer_host(r.data, r.len, out[n]) == 0 && *out[n])
      n++;
  return n;
}

/* character-strings, each a byte of length and that many bytes (RFC 1035 3.3) */
void dnsanswers_text(const char *records, size_t len, char out[DNSANSWERS_TEXT])
{
  struct answer_record r;
  size_t at = 0, n = 0;

  out[0] = 0;
  if (answer_next(records, len, &at, &r) <= 0)
    return;
  for (size_t i = 0; i < r.len;) {
    size_t piece = r.data[i++];
    if (piece > r.len - i)
      break;
    for (size_t k = 0; k < piece && n < DNSANSWERS_TEXT - 1; k++)
      out[n++] = r.data[i + k] >= 32 && r.data[i + k] < 127 ? (char)r.data[i + k] : '?';
    i += piece;
  }
  out[n] = 0;
}

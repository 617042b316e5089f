/* fuzz_reply.c - replies: within bounds, and the same in any pieces */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "deliver/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t feed(struct reply *r, const char *s, size_t len, size_t piece,
                   enum reply_state *state)
{
  size_t at = 0;

  reply_start(r);
  *state = REPLY_MORE;
  while (at < len && *state == REPLY_MORE)
    at += reply_feed(r, s + at, len - at < piece ? len - at : piece, state);
  return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static struct reply whole, parts;
  enum reply_state a, b;
  char status[REPLY_STATUS];
  stralloc line = {0};
  size_t used = feed(&whole, (const char *)data, len, len, &a);

  if (used > len || whole.len > REPLY_TEXT || strlen(whole.text) != whole.len)
    abort();
  for (size_t i = 0; i < whole.len; i++)
    if ((whole.text[i] < 0x20 || whole.text[i] > 0x7e) && whole.text[i] != '\t' &&
        whole.text[i] != '\n')
      abort();
  feed(&parts, (const char *)data, len, len ? data[0] % 11 + 1 : 1, &b);
  if (a == REPLY_WHOLE && (b != a || parts.code != whole.code || strcmp(parts.text, whole.text) != 0))
    abort();
  if (a == REPLY_WHOLE && (whole.code < 200 || whole.code > 599))
    abort();
  reply_status(&whole, status);
  reply_names_argument(&whole, "mail.example");
  if (reply_format(&line, &whole, 100) != 0 || line.len > 100 || memchr(line.s ? line.s : "", '\n', line.len))
    abort();
  free(line.s);
  return 0;
}

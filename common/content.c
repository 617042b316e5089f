/* content.c - what a message's bytes are: scanned as they pass
 *
 * Pure. The bytes are hostile. A line ends with CR LF and nothing else: a bare CR or LF is
 * noted and counts as a byte of its line. Searching is memchr()'s, not a loop over bytes.
 *
 * State: after_cr, a CR came whose next byte is not known yet; line, bytes of the line so
 * far; match, how much of "Received" the header line has matched. */
#include "common/content.h"

#include <limits.h>
#include <string.h>

static const char received[] = "received";
#define MATCHED (sizeof received - 1) /* the name is there, its colon not yet */
#define NO_MATCH (MATCHED + 1)

static int has_8bit(const char *s, size_t len)
{
  uint64_t seen = 0, word;

  for (; len >= sizeof word; s += sizeof word, len -= sizeof word) {
    memcpy(&word, s, sizeof word);
    seen |= word;
  }
  for (; len > 0; s++, len--)
    seen |= (unsigned char)*s;
  return (seen & 0x8080808080808080U) != 0;
}

/* goes on matching a header line's name; white space before the colon is obsolete syntax
 * (RFC 5322 4.5) that mailers accept */
static void match_received(struct content *c, const char *s, size_t len)
{
  for (size_t i = 0; i < len && c->match != NO_MATCH; i++) {
    char lower = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
    if (c->match < MATCHED)
      c->match = lower == received[c->match] ? c->match + 1 : NO_MATCH;
    else if (lower != ' ' && lower != '\t') {
      c->received += lower == ':';
      c->match = NO_MATCH;
    }
  }
}

/* bytes of one line, without its end */
static void text(struct content *c, const char *s, size_t len)
{
  if (len == 0)
    return;
  if (c->at_line_start && s[0] == '.')
    c->has_dot_line = 1;
  c->at_line_start = 0;
  if (!c->has_bare_lf && memchr(s, '\n', len))
    c->has_bare_lf = 1;
  if (c->in_header) {
    c->header_size += len;
    match_received(c, s, len);
    if (!c->has_8bit_header)
      c->has_8bit_header = has_8bit(s, len);
  } else if (!c->has_8bit_body)
    c->has_8bit_body = has_8bit(s, len);
  c->line = len < UINT_MAX - c->line ? c->line + (unsigned int)len : UINT_MAX;
  if (c->line > c->longest)
    c->longest = c->line;
}

static void line_end(struct content *c)
{
  if (c->in_header)
    c->header_size += 2;
  if (c->line == 0)
    c->in_header = 0;
  c->at_line_start = 1;
  c->line = 0;
  c->match = 0;
}

static void bare_cr(struct content *c)
{
  c->has_bare_cr = 1;
  c->after_cr = 0;
  text(c, "\r", 1);
}

void content_start(struct content *c)
{
  memset(c, 0, sizeof *c);
  c->in_header = c->at_line_start = c->ends_line = 1;
}

void content_scan(struct content *c, const char *s, size_t len)
{
  const char *end = s + len;

  c->size += len;
  if (len > 0 && !c->has_nul && memchr(s, 0, len))
    c->has_nul = 1;
  while (s < end) {
    const char *cr;
    if (c->after_cr && *s == '\n') {
      c->after_cr = 0;
      line_end(c);
      s++;
      continue;
    }
    if (c->after_cr)
      bare_cr(c);
    cr = memchr(s, '\r', (size_t)(end - s));
    text(c, s, (size_t)((cr ? cr : end) - s));
    c->after_cr = cr != NULL;
    s = cr ? cr + 1 : end;
  }
  c->ends_line = c->at_line_start && !c->after_cr;
}

void content_end(struct content *c)
{
  if (c->after_cr)
    bare_cr(c);
  c->ends_line = c->at_line_start;
}

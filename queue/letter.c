/* letter.c - text of a message we write: lines of printable ASCII, or UTF-8
 *
 * Pure. What is put in is hostile. */
#include "queue/letter.h"

#include <stdarg.h>
#include <string.h>

#include "common/header.h"
#include "common/units.h"

#define LINE_WIDTH 76
#define WORD_MAX 400 /* a longer word is cut over lines: RFC 5322 2.1.1 allows 998 */
#define VALUE_MAX 2000

void letter_add(struct letter *l, const char *s)
{
  if (!stralloc_cats(l->out, s))
    l->failed = 1;
}

void letter_line(struct letter *l, const char *s)
{
  letter_add(l, s);
  letter_add(l, "\r\n");
}

void letter_plain(struct letter *l, const char *s, size_t len)
{
  int is_utf8 = l->is_utf8 && header_is_utf8(s, len);

  for (size_t i = 0; i < len && i < VALUE_MAX; i++) {
    unsigned char u = (unsigned char)s[i];
    char c = (u >= 32 && u < 127) || (u >= 128 && is_utf8) ? s[i] : '?';
    if (!stralloc_append(l->out, &c))
      l->failed = 1;
  }
}

/* how much of a word of n bytes goes on one line: characters stay whole */
static size_t piece(const char *s, size_t n)
{
  if (n <= WORD_MAX)
    return n;
  for (n = WORD_MAX; n > 1 && ((unsigned char)s[n] & 0xc0) == 0x80;)
    n--;
  return n;
}

void letter_folded(struct letter *l, size_t col, const char *indent, const char *s)
{
  size_t left = strnlen(s, VALUE_MAX);

  while (left > 0) {
    size_t blanks = strspn(s, " \t"), n;
    if (blanks > left)
      blanks = left;
    s += blanks;
    left -= blanks;
    n = strcspn(s, " \t");
    n = piece(s, n < left ? n : left);
    if (n == 0)
      break;
    if (col + 1 + n > LINE_WIDTH && col > strlen(indent)) {
      letter_add(l, "\r\n");
      letter_add(l, indent);
      col = strlen(indent);
    } else if (blanks) {
      letter_add(l, " ");
      col++;
    }
    letter_plain(l, s, n);
    s += n;
    left -= n;
    col += n;
  }
  letter_add(l, "\r\n");
}

void letter_field(struct letter *l, const char *name, const char *value)
{
  letter_add(l, name);
  letter_folded(l, strlen(name), "  ", value);
}

void letter_date(struct letter *l, const char *name, uint64_t epoch)
{
  letter_add(l, name);
  if (units_format_date(l->out, epoch) != 0)
    l->failed = 1;
  letter_add(l, "\r\n");
}

void letter_say(struct letter *l, const char *indent, const char *words, ...)
{
  stralloc text = {0};
  va_list args;
  int ok = 1;

  va_start(args, words);
  for (; *words; words++)
    ok = ok && (*words == '$' ? stralloc_cats(&text, va_arg(args, const char *))
                              : stralloc_append(&text, words));
  va_end(args);
  letter_add(l, indent);
  if (ok && stralloc_0(&text))
    letter_folded(l, strlen(indent), indent, text.s);
  else
    l->failed = 1;
  stralloc_free(&text);
}

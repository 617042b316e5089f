/* log.c - one line per event on standard error
 *
 * The one place that escapes hostile bytes for the log. A line is one write(2), so that
 * lines of several programs do not mix. */
#include "common/log.h"

#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/units.h"

#define VALUE_MAX 1024 /* bytes of one value that are logged */
#define LINE_MAX_BYTES 4096 /* of a line: PIPE_BUF, what a pipe takes as one */

int log_escape(stralloc *out, const char *s, size_t len)
{
  static const char hex[] = "0123456789abcdef";

  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)s[i];
    char quad[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
    int plain = c >= 32 && c < 127 && c != '"' && c != '\\';
    if (!(plain ? stralloc_append(out, s + i) : stralloc_catb(out, quad, 4)))
      return -1;
  }
  return 0;
}

static int hex_digit(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void log_unescape(char *s)
{
  char *p = s;

  while (*s) {
    int high = s[0] == '\\' && s[1] == 'x' ? hex_digit(s[2]) : -1;
    int low = high >= 0 ? hex_digit(s[3]) : -1, c = low >= 0 ? high * 16 + low : 0;
    if (c >= 32 && c < 127) {
      *p++ = (char)c;
      s += 4;
    } else
      *p++ = *s++;
  }
  *p = 0;
}

const char *log_num(uint64_t v)
{
  static _Thread_local char buf[4][UNITS_DIGITS];
  static _Thread_local unsigned int turn;
  char *b = buf[turn++ % 4];

  units_digits(b, v);
  return b;
}

static int needs_quotes(const char *s)
{
  return *s == 0 || s[strcspn(s, " \"\\=")] != 0;
}

/* whether a line can be written without waiting: a pipe whose reader stands still must not stop
 * mail, so what it does not take is counted and told later */
static int takes_line(void)
{
  static int is_pipe = -1;
  struct pollfd p = {.fd = 2, .events = POLLOUT};
  struct stat st;

  if (is_pipe < 0)
    is_pipe = fstat(2, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
  return !is_pipe || (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT));
}

static void write_line(const char *event, const struct log_field *f, size_t n)
{
  static _Thread_local stralloc line; /* bound: six values of VALUE_MAX, escaped */
  ssize_t ignored;

  if (!stralloc_copys(&line, event))
    return;
  for (size_t i = 0; i < n; i++) {
    const char *v = f[i].value ? f[i].value : "-";
    int quotes = needs_quotes(v);
    if (!stralloc_cats(&line, " ") || !stralloc_cats(&line, f[i].name) ||
        !stralloc_cats(&line, quotes ? "=\"" : "=") ||
        log_escape(&line, v, strnlen(v, VALUE_MAX)) != 0 ||
        !stralloc_cats(&line, quotes ? "\"" : ""))
      return;
  }
  if (!stralloc_cats(&line, "\n"))
    return;
  if (line.len > LINE_MAX_BYTES) {
    line.len = LINE_MAX_BYTES;
    line.s[line.len - 1] = '\n';
  }
  ignored = write(2, line.s, line.len);
  (void)ignored; /* a log that cannot be written must not stop mail either */
}

static int is_silent;

void log_silence(void)
{
  is_silent = 1;
}

void log_write(const char *event, const struct log_field *f, size_t n)
{
  static uint64_t lost;
  int is_taken = takes_line();

  if (is_silent)
    return;
  if (is_taken && lost > 0) {
    write_line("lost", &(struct log_field){"lines", log_num(lost)}, 1); /* as log_lost() */
    lost = 0;
    is_taken = takes_line();
  }
  if (is_taken)
    write_line(event, f, n);
  else
    lost++;
}

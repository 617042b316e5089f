/* spoken.c - what is said between an attempt and its peers, kept as lines
 *
 * Runs in attempts, and in `heloise probe`. What peers say is hostile and is escaped here. A
 * dialogue that cannot be kept, for lack of memory, is lost without a word: mail goes on. */
#include "deliver/spoken.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "deliver/report.h"
#include "queue/dialogue.h"

#define AUTH_GOES_ON "334"

void spoken_start(struct spoken *s, int sock)
{
  memset(s, 0, sizeof *s);
  s->is_on = 1;
  s->sock = sock;
  s->start = conn_clock();
}

void spoken_free(struct spoken *s)
{
  free(s->text.s);
  s->text = (stralloc){0};
}

static int is_off(const struct spoken *s)
{
  return !s || !s->is_on;
}

/* ---- one line */

/* whether there is room for it; what happened is told when the session's words no longer are */
static int has_room(struct spoken *s, char who)
{
  if (s->all >= SPOKEN_ALL)
    return 0;
  if (s->session < SPOKEN_SESSION || who == DIALOGUE_EVENT)
    return 1;
  if (!s->is_cut) {
    s->is_cut = 1;
    spoken_note(s, "what else was said on this connection is not kept");
  }
  return 0;
}

static void pass_on(struct spoken *s)
{
  if (s->sock < 0 || s->text.len < SPOKEN_FRAME)
    return;
  report_spoken(s->sock, &s->text);
  s->text.len = 0;
}

static void add(struct spoken *s, char who, const char *line, size_t len)
{
  char start[3] = {' ', who, ' '};
  size_t before = s->text.len, keep = len < SPOKEN_LINE ? len : SPOKEN_LINE;
  int ok;

  if (!has_room(s, who))
    return;
  ok = units_format_number(&s->text, conn_clock() - s->start) == 0 &&
       stralloc_catb(&s->text, start, 3) && log_escape(&s->text, line, keep) == 0;
  if (ok && keep < len)
    ok = stralloc_cats(&s->text, " ...");
  if (!ok || !stralloc_cats(&s->text, "\n")) {
    s->text.len = before;
    return;
  }
  s->session += s->text.len - before;
  s->all += s->text.len - before;
  if (s->live)
    s->live(s->text.s + before, s->text.len - before);
  pass_on(s);
}

void spoken_note(struct spoken *s, const char *what)
{
  if (!is_off(s))
    add(s, DIALOGUE_EVENT, what, strlen(what));
}

static __attribute__((format(printf, 2, 3))) void note(struct spoken *s, const char *format, ...)
{
  char text[SPOKEN_LINE];
  va_list args;

  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  spoken_note(s, text);
}

static void start_session(struct spoken *s)
{
  s->session = s->lines = s->len = s->left_out = 0;
  s->is_cut = s->is_data = s->is_secret = 0;
}

void spoken_taken_over(struct spoken *s, const char *host, const char *address, unsigned int port,
                       const char *what)
{
  if (is_off(s))
    return;
  start_session(s);
  note(s, "with %.255s [%.63s]:%u %s", host, address, port, what);
}

void spoken_session(struct spoken *s, const char *host, const char *address, unsigned int port)
{
  if (is_off(s))
    return;
  start_session(s);
  note(s, "connecting to %.255s [%.63s]:%u", host, address, port);
}

/* ---- our side */

static size_t without_end(const char *s, size_t len)
{
  if (len > 0 && s[len - 1] == '\n')
    len--;
  return len > 0 && s[len - 1] == '\r' ? len - 1 : len;
}

/* "AUTH PLAIN ***"; and until the exchange is over all we say is hidden */
static void add_own(struct spoken *s, const char *line, size_t len)
{
  char hidden[48];

  if (s->is_secret) {
    add(s, DIALOGUE_US, "***", 3);
  } else if (len >= 5 && strncasecmp(line, "AUTH ", 5) == 0) {
    size_t word = 5;
    while (word < len && word < 40 && line[word] != ' ')
      word++;
    snprintf(hidden, sizeof hidden, "%.*s%s", (int)word, line, word < len ? " ***" : "");
    add(s, DIALOGUE_US, hidden, strlen(hidden));
    s->is_secret = 1;
  } else
    add(s, DIALOGUE_US, line, len);
}

void spoken_said(struct spoken *s, const char *bytes, size_t len)
{
  if (is_off(s))
    return;
  if (s->is_data) {
    s->data += len;
    return;
  }
  while (len > 0) {
    const char *lf = memchr(bytes, '\n', len);
    size_t n = lf ? (size_t)(lf - bytes) + 1 : len;
    add_own(s, bytes, without_end(bytes, n));
    bytes += n;
    len -= n;
  }
}

void spoken_data(struct spoken *s, int is_data)
{
  if (is_off(s) || is_data == s->is_data)
    return;
  s->is_data = is_data;
  if (is_data)
    s->data = 0;
  else
    note(s, "the message was sent: %llu bytes, its last dot among them", (unsigned long long)s->data);
}

/* ---- the peer's side */

static void add_heard(struct spoken *s)
{
  size_t len = without_end(s->line, s->len);

  if (s->is_secret && (s->len < 3 || memcmp(s->line, AUTH_GOES_ON, 3) != 0))
    s->is_secret = 0;
  if (s->lines++ < SPOKEN_REPLY)
    add(s, DIALOGUE_PEER, s->line, len);
  if (s->left_out > 0 && s->lines <= SPOKEN_REPLY)
    note(s, "%zu more bytes of this line are not kept", s->left_out);
  s->len = s->left_out = 0;
}

void spoken_heard(struct spoken *s, const char *bytes, size_t len)
{
  if (is_off(s))
    return;
  while (len > 0) {
    const char *lf = memchr(bytes, '\n', len);
    size_t n = lf ? (size_t)(lf - bytes) + 1 : len;
    size_t room = sizeof s->line - s->len, keep = n < room ? n : room;
    memcpy(s->line + s->len, bytes, keep);
    s->len += keep;
    s->left_out += n - keep;
    if (lf)
      add_heard(s);
    bytes += n;
    len -= n;
  }
}

void spoken_over(struct spoken *s, enum saw saw)
{
  static const char *const words[SAW_COUNT] = {
    [SAW_CLOSE] = "the peer closed the connection",
    [SAW_RESET] = "the connection was reset",
    [SAW_PART] = "the connection ended within this reply",
    [SAW_SILENCE] = "no answer in time",
    [SAW_UNFINISHED] = "the reply was not finished in time",
    [SAW_GARBLED] = "this is no reply",
    [SAW_FOREIGN] = "this is not SMTP",
    [SAW_ENDLESS] = "the reply goes on without end",
    [SAW_EARLY] = "bytes came before we had asked for any",
    [SAW_NO_TLS] = "the TLS handshake failed",
    [SAW_REFUSED] = "the connection was refused",
    [SAW_NO_ANSWER] = "the connection was not answered in time",
    [SAW_UNREACHABLE] = "the address cannot be reached",
    [SAW_LOCAL] = "a fault of this host",
  };

  if (is_off(s))
    return;
  if (s->len > 0)
    add_heard(s);
  if (s->lines > SPOKEN_REPLY)
    note(s, "%zu more lines of this reply are not kept", s->lines - SPOKEN_REPLY);
  s->lines = 0;
  if (words[saw])
    spoken_note(s, words[saw]);
}

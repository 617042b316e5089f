/* encodedword.c - 8-bit bytes of a header field as encoded words
 *
 * Runs in an attempt. Pure. The field is hostile.
 *
 * A field is read as gaps (white space and folds) and words. Neighbouring words that need
 * encoding are one run, encoded with the gaps between them, because a reader drops white
 * space between encoded words (RFC 2047 6.2). */
#include "deliver/encodedword.h"

#include <errno.h>
#include <string.h>

#include "common/header.h"

#define WORD_MAX 75      /* RFC 2047 2: of one encoded word */
#define LINE_MAX_WORD 76 /* of a line that holds one */

enum field_class { UNSTRUCTURED, ADDRESSES, COMMENTS, PARAMETERS, OPAQUE };

/* fields whose syntax is known; all others are taken as unstructured text */
static const struct {
  const char *name;
  enum field_class class;
} fields[] = {
  {"From", ADDRESSES},          {"Sender", ADDRESSES},
  {"Reply-To", ADDRESSES},      {"To", ADDRESSES},
  {"Cc", ADDRESSES},            {"Bcc", ADDRESSES},
  {"Resent-From", ADDRESSES},   {"Resent-Sender", ADDRESSES},
  {"Resent-To", ADDRESSES},     {"Resent-Cc", ADDRESSES},
  {"Resent-Bcc", ADDRESSES},    {"Resent-Reply-To", ADDRESSES},
  {"Errors-To", ADDRESSES},     {"Apparently-To", ADDRESSES},
  {"Mail-Reply-To", ADDRESSES}, {"Mail-Followup-To", ADDRESSES},
  {"Return-Receipt-To", ADDRESSES}, {"Disposition-Notification-To", ADDRESSES},
  {"Date", COMMENTS},           {"Resent-Date", COMMENTS},
  {"Message-ID", COMMENTS},     {"Resent-Message-ID", COMMENTS},
  {"In-Reply-To", COMMENTS},    {"References", COMMENTS},
  {"Received", COMMENTS},       {"Return-Path", COMMENTS},
  {"MIME-Version", COMMENTS},   {"Content-Type", PARAMETERS},
  {"Content-ID", COMMENTS},     {"Content-Transfer-Encoding", COMMENTS},
  {"Content-Disposition", PARAMETERS}, {"List-Id", ADDRESSES}, {"List-*", COMMENTS},
  {"Delivered-To", OPAQUE},     {"DKIM-Signature", OPAQUE},
  {"DomainKey-Signature", OPAQUE}, {"ARC-*", OPAQUE},
};

struct writer {
  stralloc *out;
  size_t col; /* bytes since the last line end */
  int has_word; /* an encoded word is among them: no more than LINE_MAX_WORD may be there */
  int failed;
  /* the run being gathered: its bytes without folds, and the gap before it */
  stralloc run; /* bound: the field */
  const char *gap;
  size_t gaplen;
  int in_run;
  int after_word; /* the last word written is an encoded word of the sender's */
  int may_touch;  /* an encoded word may follow the last byte without white space */
};

/* ---- characters */

/* bytes of white space at s: one blank, or the CR LF of a fold; a bare CR or LF is none */
static size_t blank(const char *s, size_t len)
{
  if (len > 0 && (*s == ' ' || *s == '\t'))
    return 1;
  return len > 1 && memcmp(s, "\r\n", 2) == 0 ? 2 : 0;
}

/* what Q leaves as it is even in a phrase (RFC 2047 5 (3)) */
static int is_plain(unsigned char c)
{
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         (c && strchr("!*+-/", c));
}

static int is_encoded_word(const char *s, size_t len)
{
  return len > 6 && memcmp(s, "=?", 2) == 0 && memcmp(s + len - 2, "?=", 2) == 0;
}

static size_t gap_span(const char *s, size_t len)
{
  size_t n = 0, more;

  while ((more = blank(s + n, len - n)) > 0)
    n += more;
  return n;
}

/* ---- writing */

static void put(struct writer *w, const char *s, size_t len)
{
  const char *lf = len ? memrchr(s, '\n', len) : NULL;

  if (!stralloc_catb(w->out, s, len))
    w->failed = 1;
  w->has_word &= !lf;
  w->col = lf ? (size_t)(s + len - 1 - lf) : w->col + len;
}

static void gather(struct writer *w, const char *s, size_t len)
{
  if (header_unfold(&w->run, s, len) != 0)
    w->failed = 1;
}

static size_t q_size(unsigned char c)
{
  return is_plain(c) || c == ' ' ? 1 : 3;
}

static size_t q_encode(char *out, const char *s, size_t len)
{
  static const char hex[] = "0123456789ABCDEF";
  size_t n = 0;

  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)s[i];
    if (q_size(c) == 1) {
      out[n++] = c == ' ' ? '_' : (char)c;
      continue;
    }
    out[n++] = '=';
    out[n++] = hex[c >> 4];
    out[n++] = hex[c & 15];
  }
  return n;
}

static size_t b_encode(char *out, const char *s, size_t len)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t n = 0;

  for (size_t i = 0; i < len; i += 3) {
    unsigned int b = (unsigned int)(unsigned char)s[i] << 16;
    if (i + 1 < len)
      b |= (unsigned int)(unsigned char)s[i + 1] << 8;
    if (i + 2 < len)
      b |= (unsigned char)s[i + 2];
    out[n++] = digits[b >> 18];
    out[n++] = digits[b >> 12 & 63];
    out[n++] = i + 1 < len ? digits[b >> 6 & 63] : '=';
    out[n++] = i + 2 < len ? digits[b & 63] : '=';
  }
  return n;
}

/* how many bytes of the run fit one encoded word of `room` characters, never splitting a
 * UTF-8 character (RFC 2047 5) */
static size_t fitting(const char *s, size_t len, size_t room, int is_utf8, int q)
{
  size_t n = 0, used = 0, fits = 0;

  while (n < len) {
    used = q ? used + q_size((unsigned char)s[n]) : (n + 3) / 3 * 4;
    if (used > room)
      break;
    n++;
    if (!is_utf8 || n == len || (s[n] & 0xc0) != 0x80)
      fits = n;
  }
  return fits;
}

/* a gap; a line that would grow too long with the word after it is folded there */
static void put_gap(struct writer *w, const char *gap, size_t gaplen, size_t word)
{
  if (gaplen > 0 && w->col + gaplen + word > LINE_MAX_WORD && !memchr(gap, '\n', gaplen))
    put(w, "\r\n", 2);
  put(w, gap, gaplen);
}

/* the gap before the run: white space, unless an encoded word may touch what is there */
static void put_run_gap(struct writer *w, size_t first)
{
  if (w->gaplen == 0 && !w->may_touch)
    put_gap(w, " ", 1, first);
  else
    put_gap(w, w->gap, w->gaplen, first);
}

/* writes the run gathered; `next` is the byte that follows, 0 at the end, and nextlen the length of
 * the word that it begins */
static void flush(struct writer *w, char next, size_t nextlen)
{
  const char *s = w->run.s;
  size_t len = w->run.len, q_total = 0;
  int is_utf8, q;
  const char *charset;

  if (!w->in_run || w->failed)
    return;
  is_utf8 = header_is_utf8(s, len);
  charset = is_utf8 ? "utf-8" : "unknown-8bit";
  for (size_t i = 0; i < len; i++)
    q_total += q_size((unsigned char)s[i]);
  q = q_total <= 2 * ((len + 2) / 3 * 4); /* people can read Q */
  for (int first = 1; len > 0; first = 0) {
    char word[WORD_MAX + 1], *p = stpcpy(stpcpy(stpcpy(word, "=?"), charset), q ? "?Q?" : "?B?");
    size_t n = fitting(s, len, WORD_MAX - 2 - (size_t)(p - word), is_utf8, q);
    p += q ? q_encode(p, s, n) : b_encode(p, s, n);
    p = stpcpy(p, "?=");
    if (first)
      put_run_gap(w, (size_t)(p - word));
    else
      put(w, "\r\n ", 3);
    put(w, word, (size_t)(p - word));
    w->has_word = 1;
    s += n;
    len -= n;
  }
  if (next && !strchr(" \t\r),", next))
    put_gap(w, " ", 1, nextlen);
  w->in_run = 0;
  w->after_word = 0;
  w->may_touch = 0;
}

/* one word that needs encoding, as its bytes mean (quotes and backslashes taken off) */
static void add_to_run(struct writer *w, const char *gap, size_t gaplen, const stralloc *word)
{
  if (!w->in_run) {
    w->in_run = 1;
    w->run.len = 0;
    w->gap = gap;
    w->gaplen = gaplen;
    if (w->after_word)
      gather(w, gap, gaplen);
  } else
    gather(w, gap, gaplen);
  gather(w, word->s, word->len);
}

/* one word that stays as it is */
static void keep(struct writer *w, const char *gap, size_t gaplen, const char *word, size_t len)
{
  if (w->in_run && is_encoded_word(word, len))
    gather(w, gap, gaplen);
  flush(w, gaplen ? gap[0] : len ? word[0] : 0, len);
  if (len > 0 && (w->has_word || is_encoded_word(word, len)))
    put_gap(w, gap, gaplen, len);
  else
    put(w, gap, gaplen);
  put(w, word, len);
  if (len > 0) {
    w->has_word |= is_encoded_word(word, len);
    w->after_word = is_encoded_word(word, len);
    w->may_touch = 0;
  }
}

/* ---- reading */

/* the bytes that a word stands for: without quoted-pairs' backslashes when `pairs` */
static void unquote(struct writer *w, stralloc *out, const char *s, size_t len, int pairs)
{
  out->len = 0;
  for (size_t i = 0; i < len; i++) {
    if (pairs && s[i] == '\\' && i + 1 < len)
      i++;
    if (!stralloc_append(out, s + i))
      w->failed = 1;
  }
}

static size_t text_span(const char *s, size_t len, int in_comment)
{
  size_t n = 0;

  while (n < len && !blank(s + n, len - n) && !(in_comment && (s[n] == '(' || s[n] == ')')))
    n += in_comment && s[n] == '\\' && n + 1 < len ? 2 : 1;
  return n;
}

/* unstructured text, or the text of a comment with its parentheses */
static void text(struct writer *w, const char *s, size_t len, int in_comment)
{
  stralloc word = {0};

  while (len > 0 && !w->failed) {
    size_t gap = gap_span(s, len), n = text_span(s + gap, len - gap, in_comment);
    if (n > 0 && header_has_8bit(s + gap, n)) {
      unquote(w, &word, s + gap, n, in_comment);
      add_to_run(w, s, gap, &word);
    } else {
      n += n == 0 && gap < len; /* a parenthesis */
      keep(w, s, gap, s + gap, n);
      w->may_touch = in_comment && n == 1 && s[gap] == '(';
    }
    s += gap + n;
    len -= gap + n;
  }
  flush(w, 0, 0);
  stralloc_free(&word);
}

/* length of the token at s in a structured field: a quoted string, comment, angle address,
 * domain literal, separator or a word; 0 when something that opens is never closed */
static size_t token_span(const char *s, size_t len)
{
  static const char open[] = "\"(<[", close[] = "\")>]";
  const char *at = s[0] ? strchr(open, s[0]) : NULL;
  size_t n = 1, depth = 1;

  if (!at) {
    if (strchr(",;:", s[0]) && s[0])
      return 1;
    while (n < len && !blank(s + n, len - n) && !(s[n] && strchr("\"(<[,;:", s[n])))
      n++;
    return n;
  }
  for (; n < len; n++) {
    if (s[n] == '\\' && n + 1 < len)
      n++;
    else if (s[n] == close[at - open]) {
      if (--depth == 0)
        return n + 1;
    } else if (s[n] == '(' && s[0] == '(')
      depth++;
  }
  return 0;
}

/* whether the words of the list element at s are a display name: an angle address or a
 * group's colon follows */
static int begins_with_name(const char *s, size_t len)
{
  while (len > 0) {
    size_t n = gap_span(s, len);
    if (n == 0) {
      if (*s == '<' || *s == ':')
        return 1;
      if (*s == ',' || *s == ';')
        return 0;
      n = token_span(s, len);
    }
    if (n == 0)
      return 0;
    s += n;
    len -= n;
  }
  return 0;
}

/* a comment ends the run before it and is text of its own; the gap before it stays, whether
 * something in it is encoded or was */
static void comment(struct writer *w, const char *gap, size_t gaplen, const char *s, size_t len)
{
  flush(w, gaplen ? gap[0] : '(', 0);
  put(w, gap, gaplen);
  if (header_has_8bit(s, len))
    text(w, s, len, 1);
  else
    put(w, s, len);
  w->after_word = 0;
  w->may_touch = 0;
}

static void structured(struct writer *w, const char *s, size_t len, int has_names)
{
  int in_name = has_names && begins_with_name(s, len);
  stralloc word = {0};

  w->may_touch = 0;
  while (len > 0 && !w->failed) {
    size_t gap = gap_span(s, len), n = gap < len ? token_span(s + gap, len - gap) : 0;
    const char *t = s + gap;
    int quoted = n > 0 && *t == '"';
    if (n == 0)
      break;
    if (*t == '(')
      comment(w, s, gap, t, n);
    else if (in_name && *t != '<' && header_has_8bit(t, n)) {
      unquote(w, &word, t + quoted, n - 2 * (size_t)quoted, quoted);
      add_to_run(w, s, gap, &word);
    } else
      keep(w, s, gap, t, n);
    if (*t == '<')
      in_name = 0;
    else if (*t == ',' || *t == ';' || *t == ':')
      in_name = has_names && begins_with_name(t + n, len - gap - n);
    s += gap + n;
    len -= gap + n;
  }
  flush(w, len ? *s : 0, 0);
  put(w, s, len);
  stralloc_free(&word);
}

static enum field_class class_of(const char *field, size_t len)
{
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (header_is(field, len, fields[i].name))
      return fields[i].class;
  return UNSTRUCTURED;
}

/* what is neither text nor an address has no meaning with 8-bit bytes */
static void hide(stralloc *out, size_t from)
{
  for (size_t i = from; i < out->len; i++)
    if ((unsigned char)out->s[i] >= 128)
      out->s[i] = '?';
}

int encodedword_field(stralloc *out, const char *field, size_t len)
{
  struct writer w = {.out = out};
  size_t value = header_value(field, len);
  size_t end = len >= 2 && memcmp(field + len - 2, "\r\n", 2) == 0 ? len - 2 : len;
  enum field_class class = class_of(field, len);
  size_t from = out->len;

  if (class == OPAQUE || value > end || !header_has_8bit(field + value, end - value)) {
    put(&w, field, len);
  } else {
    put(&w, field, value);
    if (class == UNSTRUCTURED)
      text(&w, field + value, end - value, 0);
    else
      structured(&w, field + value, end - value, class == ADDRESSES);
    if (class == COMMENTS && !w.failed)
      hide(out, from);
    put(&w, field + end, len - end);
  }
  stralloc_free(&w.run);
  if (w.failed)
    errno = ENOMEM;
  return w.failed ? -1 : 0;
}

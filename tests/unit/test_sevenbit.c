/* test_sevenbit.c - what a message becomes for a peer without 8BITMIME */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <stralloc.h>

#include "deliver/sevenbit.h"

/* in the rows LF stands for CR LF; ~ at the end of `out` stands for the input */
struct row {
  const char *name, *in, *out;
};

#define ADDED_AS(charset) \
  "MIME-Version: 1.0\nContent-Type: text/plain; charset=" charset "\n" \
  "Content-Transfer-Encoding: "
#define ADDED ADDED_AS("utf-8")
#define M "MIME-Version: 1.0\n"
#define T "Content-Type: text/plain; charset=utf-8\n"
#define QP "Content-Transfer-Encoding: quoted-printable\n"

static const struct row rows[] = {
  {"plain stays", "A: b\n\nhello\n.dot\n", NULL},
  {"header only stays", "A: b\n", NULL},
  {"empty stays", "", NULL},
  {"encoded parts stay", M T QP "\nH=C3=A4\n", NULL},
  {"no MIME at all", "A: b\n\nHallo, sch\xc3\xb6n\n",
   "A: b\n" ADDED "quoted-printable\n\nHallo, sch=C3=B6n\n"},
  {"base64 when smaller", "A: b\n\n\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\n",
   "A: b\n" ADDED "base64\n\nw6TDtsO8w58NCg==\n"},
  {"bytes that are no UTF-8 are of nobody knows what",
   "A: b\n\nfiller filler filler filler\nHallo, sch\xc3\xb6n\nsch\xf6n\n",
   "A: b\n" ADDED_AS("unknown-8bit") "quoted-printable\n\n"
   "filler filler filler filler\nHallo, sch=C3=B6n\nsch=F6n\n"},
  {"a character that a line end cuts", "A: b\n\nHallo, Welt, sch\xc3\n\xb6n\n",
   "A: b\n" ADDED_AS("unknown-8bit") "quoted-printable\n\nHallo, Welt, sch=C3\n=B6n\n"},
  {"a character that the end cuts", "A: b\n\nHallo, sch\xc3\xb6n \xe2\x82",
   "A: b\n" ADDED_AS("unknown-8bit") "quoted-printable\n\nHallo, sch=C3=B6n =E2=82"},
  {"a part without a type", M "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nHallo, sch\xc3\xb6n\n--x--\n",
   M "Content-Type: multipart/mixed; boundary=x\n\n--x\n" T QP "\nHallo, sch=C3=B6n\n--x--\n"},
  {"names with a hyphen in front", M "Content-Type: multipart/mixed; boundary=\"b: ?\"\n\n--b: ?\n"
   "--b: \xe4\n-b: \xe4\n \xe4-\n-c: d\n\nx\n--b: ?--\n",
   M "Content-Type: multipart/mixed; boundary=\"b: ?\"\n\n--b: ?\n"
   "*-b: ?\n*b: ?\n ?-\n-c: d\n\nx\n--b: ?--\n"},
  {"type and version kept", M T "\nHallo, sch\xc3\xb6n\n", M T QP "\nHallo, sch=C3=B6n\n"},
  {"8bit label replaced in place",
   M "Content-Transfer-Encoding: 8bit\n" T "content-transfer-encoding: x\n\nHallo, sch\xc3\xb6n\n",
   M QP T "\nHallo, sch=C3=B6n\n"},
  {"8bit label on plain text", M "Content-Transfer-Encoding: 8bit\n\nplain\n",
   M "Content-Transfer-Encoding: 7bit\n\nplain\n"},
  {"unknown encoding is none", M "Content-Transfer-Encoding: 8-bit\n" T "\nHallo, sch\xc3\xb6n\n",
   M QP T "\nHallo, sch=C3=B6n\n"},
  {"trailing space, dots, dashes, From", M T "\nfiller filler filler filler filler filler\n.a \xe4 \n--b\n. \nFrom x\t\n-\n",
   M T QP "\nfiller filler filler filler filler filler\n=2Ea =E4=20\n=2D-b\n=2E=20\n=46rom x=09\n-\n"},
  {"long line", M T "\n\xe4" "56789012345678901234567890123456789012345678901234567890123456789012345678\n",
   M T QP "\n=E4567890123456789012345678901234567890123456789012345678901234567890123456=\n78\n"},
  {"broken quoted-printable", M T QP "\na=3D\xe4=\nb = c\n=\xe4 = \n",
   M T QP "\na=3D=E4=\nb = c\n=3D=E4 =\n"},
  {"broken base64", M "Content-Transfer-Encoding: base64\n\nAA\xe4-AA\nBBBB\n",
   M "Content-Transfer-Encoding: base64\n\nAAAA\nBBBB\n"},
  {"multipart",
   M "Content-Type: multipart/mixed; boundary=\"a b\"\nContent-Transfer-Encoding: 8bit\n\n"
   "pre\xe4\n--a b\n\nplain\n--a b  \n" T "\nHallo, sch\xc3\xb6n\n--a b\n"
   "Content-Type: image/x\nContent-Transfer-Encoding: 8bit\n\n\xff\xfe\xfd\xfc\xfb\xfa\n--a b--\n\xe4pi\n",
   M "Content-Type: multipart/mixed; boundary=\"a b\"\nContent-Transfer-Encoding: 7bit\n\n"
   "pre?\n--a b\n\nplain\n--a b  \n" T QP "\nHallo, sch=C3=B6n\n--a b\n"
   "Content-Type: image/x\nContent-Transfer-Encoding: base64\n\n//79/Pv6\n--a b--\n?pi\n"},
  {"nested, the inner one never closed",
   M "Content-Type: multipart/mixed; boundary=x\n\n--x\n"
   "Content-Type: multipart/alternative;\n boundary=x1\n\n--x1\n" T "\nHallo, sch\xc3\xb6n\n--x--\n",
   M "Content-Type: multipart/mixed; boundary=x\n\n--x\n"
   "Content-Type: multipart/alternative;\n boundary=x1\n\n--x1\n" T QP
   "\nHallo, sch=C3=B6n\n--x--\n"},
  {"a boundary behind malformed parameters",
   M "Content-Type: multipart/mixed; x; y=a \xe4 b; =; boundary=x\n\n--x\n" T "\nHallo, sch\xc3\xb6n\n--x--\n",
   M "Content-Type: multipart/mixed; x; y*=unknown-8bit''a%20%E4%20b; =; boundary=x\n\n--x\n" T QP
   "\nHallo, sch=C3=B6n\n--x--\n"},
  {"no boundary found", M "Content-Type: multipart/mixed; boundary=x\n\nHallo, sch\xc3\xb6n\n",
   M "Content-Type: multipart/mixed; boundary=x\n" QP "\nHallo, sch=C3=B6n\n"},
  {"a body line must not become a boundary",
   M "Content-Type: multipart/mixed; boundary=\"x=E4\"\n\n--x=E4\n\n--x\xe4\nthis is text\n--x=E4--\n",
   M "Content-Type: multipart/mixed; boundary=\"x=E4\"\n\n--x=E4\n"
   "Content-Type: text/plain; charset=unknown-8bit\n" QP
   "\n=2D-x=E4\nthis is text\n--x=E4--\n"},
  {"a multipart that is falsely called quoted-printable",
   M "Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: quoted-printable\n\n--x\n"
   "Subject: \xc3\xa4xx\n" T "\nHallo, sch\xc3\xb6n = a\n--x--\n",
   M "Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: 7bit\n\n--x\n"
   "Subject: =?utf-8?Q?=C3=A4xx?=\n" T QP "\nHallo, sch=C3=B6n =3D a\n--x--\n"},
  {"a multipart that is falsely called base64",
   M "Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64\n\n--x\n"
   T "\nHallo, sch\xc3\xb6n\n--x--\n",
   M "Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: 7bit\n\n--x\n"
   T QP "\nHallo, sch=C3=B6n\n--x--\n"},
  {"a false label stays where nothing is encoded",
   M "Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64\n\n--x\n\nplain\n--x--\n",
   NULL},
  {"forwarded message",
   M "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n" M T "\nHallo, sch\xc3\xb6n\n",
   M "Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n" M T QP
   "\nHallo, sch=C3=B6n\n"},
  {"digest parts are messages",
   M "Content-Type: multipart/digest; boundary=x\n\n--x\n\nA: b\n\nHallo, sch\xc3\xb6n\n--x--\n",
   M "Content-Type: multipart/digest; boundary=x\n\n--x\n\nA: b\n" ADDED
   "quoted-printable\n\nHallo, sch=C3=B6n\n--x--\n"},
  {"no empty line after the header", M T "Hallo, sch\xc3\xb6n\n", M T QP "\nHallo, sch=C3=B6n\n"},
  {"unstructured field", "Subject: gr\xc3\xbc\xc3\x9f Gott\n\nx\n",
   "Subject: =?utf-8?Q?gr=C3=BC=C3=9F?= Gott\n\nx\n"},
  {"unknown charset", "Subject: gr\xfc\xdf Gott\n\nx\n",
   "Subject: =?unknown-8bit?Q?gr=FC=DF?= Gott\n\nx\n"},
  {"neighbours are one run", "Subject: \xc3\xa4xx  \xc3\xa4xx\n x\n\nx\n",
   "Subject: =?utf-8?Q?=C3=A4xx__=C3=A4xx?=\n x\n\nx\n"},
  {"beside encoded words", "Subject: =?utf-8?Q?a?= b\xc3\xa4xx =?utf-8?Q?c?=\n\nx\n",
   "Subject: =?utf-8?Q?a?= =?utf-8?Q?_b=C3=A4xx_?= =?utf-8?Q?c?=\n\nx\n"},
  {"long words are cut between characters",
   "Subject: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4\xc3\xa4\n\nx\n",
   "Subject:\n =?utf-8?Q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=\n"
   " =?utf-8?Q?=C3=A4=C3=A4?=\n\nx\n"},
  {"a line with an encoded word has 76 characters at most",
   "Subject: \xc3\xa4xx aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbb c\n dddddddddddddddddddddddddd "
   "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee ffffffffffffffffffffffffff\n\nx\n",
   "Subject: =?utf-8?Q?=C3=A4xx?= aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n bbbbbbbbbbbbbbbbb c\n "
   "dddddddddddddddddddddddddd eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee ffffffffffffffffffffffffff\n\nx\n"},
  {"an address after an encoded word that it touched is folded the first time",
   "From: caf\xe9<j\xc3\xb6rg@xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx>\n\nx\n",
   "From: =?unknown-8bit?Q?caf=E9?=\n <j\xc3\xb6rg@xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx>\n\nx\n"},
  {"phrases", "From: J\xc3\xb6rg M. \"M\xc3\xbc, \\\"x\" (\xc3\xa4xxx b) <j@x>, Plain <p@x>\n\nx\n",
   "From: =?utf-8?Q?J=C3=B6rg?= M. =?utf-8?Q?M=C3=BC=2C_=22x?= (=?utf-8?Q?=C3=A4xxx?=\n b)"
   " <j@x>, Plain <p@x>\n\nx\n"},
  {"addresses have no other spelling", "To: j\xc3\xb6rg@x, <j\xc3\xb6rg@x>\n\nx\n", NULL},
  {"parameters", "Content-Type: text/plain; name=\"\xc3\xa4\\\"; x\" (xx\xc3\xa4); a=b\n\nx\n",
   "Content-Type: text/plain; name*=utf-8''%C3%A4%22%3B%20x (=?utf-8?Q?xx=C3=A4?=);\n a=b\n\nx\n"},
  {"long parameters", "Content-Disposition: attachment;\n filename="
   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xe4" "bbb (c)\n\nx\n",
   "Content-Disposition: attachment;\n filename*0*=unknown-8bit''"
   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%E4;\n filename*1*=bbb (c)\n\nx\n"},
  {"malformed structured fields",
   "Content-Type: text/plain \xe4 (\xe4xxxxx); x\xe4; boundary=\xe4; a=\xe4\"b\"\nMessage-ID: <\xe4>\nList-Id: \xe4xxxx <a>\n\nx\n",
   "Content-Type: text/plain ? (=?unknown-8bit?Q?=E4xxxxx?=); x?; boundary=\xe4;\n a=?\"b\"\n"
   "Message-ID: <?>\nList-Id: =?unknown-8bit?Q?=E4xxxx?= <a>\n\nx\n"},
  {"parameters given twice", "Content-Type: a/b; name=\"x\xe4\"; name*=utf-8''x%C3%A4\n\nx\n",
   "Content-Type: a/b; name=\"x?\"; name*=utf-8''x%C3%A4\n\nx\n"},
  {"parameters of a like name given extended",
   "Content-Disposition: a; name=\"x\xc3\xa4\"; filename*=utf-8''x%C3%A4\n\nx\n",
   "Content-Disposition: a; name*=utf-8''x%C3%A4; filename*=utf-8''x%C3%A4\n\nx\n"},
  {"a boundary with 8-bit bytes is none that can be used",
   M "Content-Type: multipart/mixed; boundary=\"x\xe4\"\n\n--x\xe4\n\nplain, all of it\n--x\xe4--\n",
   M "Content-Type: multipart/mixed; boundary=\"x\xe4\"\n" QP
   "\n=2D-x=E4\n\nplain, all of it\n=2D-x=E4--\n"},
  {"signed parts that need nothing keep their labels",
   M "Content-Type: multipart/mixed; boundary=y\n\n--y\nContent-Type: multipart/signed; boundary=x\n"
   "Content-Transfer-Encoding: 8bit\n\n--x\nContent-Transfer-Encoding: 8bit\n\nplain\n--x--\n"
   "--y\n" T "\nHallo, sch\xc3\xb6n\n--y--\n",
   M "Content-Type: multipart/mixed; boundary=y\n\n--y\nContent-Type: multipart/signed; boundary=x\n"
   "Content-Transfer-Encoding: 8bit\n\n--x\nContent-Transfer-Encoding: 8bit\n\nplain\n--x--\n"
   "--y\n" T QP "\nHallo, sch=C3=B6n\n--y--\n"},
  {"signed parts that need it are converted",
   M "Content-Type: multipart/signed; boundary=x\nContent-Transfer-Encoding: 8bit\n\n--x\n"
   T "Content-Transfer-Encoding: 8bit\n\nHallo, sch\xc3\xb6n\n--x--\n",
   M "Content-Type: multipart/signed; boundary=x\nContent-Transfer-Encoding: 7bit\n\n--x\n"
   T QP "\nHallo, sch=C3=B6n\n--x--\n"},
};

struct memory {
  stralloc s;
  long fail_after; /* bytes; -1 never */
};

static ssize_t read_memory(void *arg, char *buf, size_t len, uint64_t at)
{
  struct memory *m = arg;
  size_t n = m->s.len - at < len ? m->s.len - at : len;

  if (m->fail_after >= 0 && at + n > (uint64_t)m->fail_after) {
    errno = EIO;
    return -1;
  }
  if (n > 7)
    n -= 7; /* short reads are legal */
  memcpy(buf, m->s.s + at, n);
  return (ssize_t)n;
}

static int write_memory(void *arg, const char *s, size_t len)
{
  struct memory *m = arg;

  if (m->fail_after >= 0 && m->s.len + len > (size_t)m->fail_after)
    return -1;
  return stralloc_catb(&m->s, s, len) ? 0 : -1;
}

static int only_lines;

static int convert(struct memory *in, struct memory *out)
{
  struct sevenbit_source source = {read_memory, in, in->s.len};
  struct sevenbit_sink sink = {write_memory, out};

  out->s.len = 0;
  return sevenbit_convert(&source, &sink, only_lines);
}

static void set(struct memory *m, const char *s)
{
  m->s.len = 0;
  m->fail_after = -1;
  for (; *s; s++)
    assert_true(*s == '\n' ? stralloc_catb(&m->s, "\r\n", 2) : stralloc_append(&m->s, s));
}

static void check_rows(const struct row *row, size_t n)
{
  struct memory in = {{0}, -1}, once = {{0}, -1}, twice = {{0}, -1}, want = {{0}, -1};

  for (size_t i = 0; i < n; i++) {
    set(&in, row[i].in);
    set(&want, row[i].out ? row[i].out : row[i].in);
    assert_int_equal(convert(&in, &once), 0);
    if (once.s.len != want.s.len || (want.s.len && memcmp(once.s.s, want.s.s, want.s.len) != 0))
      fail_msg("%s: got\n%.*s", row[i].name, (int)once.s.len, once.s.s);
    assert_int_equal(convert(&once, &twice), 0);
    if (twice.s.len != once.s.len || (once.s.len && memcmp(twice.s.s, once.s.s, once.s.len) != 0))
      fail_msg("%s: a second run gives\n%.*s", row[i].name, (int)twice.s.len, twice.s.s);
  }
  stralloc_free(&in.s);
  stralloc_free(&once.s);
  stralloc_free(&twice.s);
  stralloc_free(&want.s);
}

static void test_rows(void **state)
{
  (void)state;
  check_rows(rows, sizeof rows / sizeof *rows);
}

#define X10 "xxxxxxxxxx"
#define X75 X10 X10 X10 X10 X10 X10 X10 "xxxxx"
#define X300 X75 X75 X75 X75
#define X1000 X300 X300 X300 X75 X10 X10 "xxxxx"
#define Q75 X75 "=\n"
#define Q300 Q75 Q75 Q75 Q75
#define B10 "AAAAAAAAAA"
#define B76 B10 B10 B10 B10 B10 B10 B10 "AAAAAA"
#define B304 B76 B76 B76 B76
#define B1064 B304 B304 B304 B76 B76
#define W76 B76 "\n"
#define W304 W76 W76 W76 W76

/* what is done for any peer */
static const struct row line_rows[] = {
  {"8 bits stay", "Subject: \xc3\xa4\n\nsch\xc3\xb6n\n", NULL},
  {"8-bit labels stay", M "Content-Transfer-Encoding: 8bit\n\nplain\n", NULL},
  {"broken encodings stay", M T QP "\na=3D\xe4=\n", NULL},
  {"parts with long lines",
   M "Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: 8bit\n\n\xe4\n--x\n" T "\nsch\xc3\xb6n\n"
   "--x\n" T "\n" X1000 "\n--x--\n",
   M "Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: 8bit\n\n\xe4\n--x\n" T "\nsch\xc3\xb6n\n"
   "--x\n" T QP "\n" Q300 Q300 Q300 Q75 X10 X10 "xxxxx\n--x--\n"},
  {"quoted-printable", M T QP "\nshort =\n" X1000 "  \n",
   M T QP "\nshort =\n" Q300 Q300 Q300 Q75 X10 X10 "xxxxx\n"},
  {"base64", M "Content-Transfer-Encoding: base64\n\nAAAA\n" B1064 "\nAAAA\n",
   M "Content-Transfer-Encoding: base64\n\nAAAA\n" W304 W304 W304 W76 W76 "AAAA\n"},
  {"header fields", "References: " X300 " " X300 "\t" X300 " " X300 " x\n y\n\nx\n",
   "References: " X300 " " X300 "\t" X300 "\n " X300 " x\n y\n\nx\n"},
  {"header fields without white space", "A: b\nReferences: " X1000 X10 "  \n\nx\n", NULL},
  {"preambles", M "Content-Type: multipart/mixed; boundary=x\n\n" X300 X300 X300 X300 "\n--x\n\n--x--\n",
   M "Content-Type: multipart/mixed; boundary=x\n\n" X300 X300 X300 "\n " X300 "\n--x\n\n--x--\n"},
};

static void test_lines(void **state)
{
  (void)state;
  only_lines = 1;
  check_rows(line_rows, sizeof line_rows / sizeof *line_rows);
  only_lines = 0;
}

static int has_signature(const char *message)
{
  struct memory in = {{0}, -1};
  struct sevenbit_source source = {read_memory, &in, 0};
  int r;

  set(&in, message);
  source.size = in.s.len;
  r = sevenbit_has_field(&source, "DKIM-Signature");
  stralloc_free(&in.s);
  return r;
}

static void test_has_field(void **state)
{
  (void)state;
  assert_int_equal(has_signature("A: b\n c\ndkim-signature: v=1\n\nx\n"), 1);
  assert_int_equal(has_signature("From x\nDKIM-Signature : v=1\n"), 1);
  assert_int_equal(has_signature("A: b\n DKIM-Signature: x\n\nDKIM-Signature: v=1\n"), 0);
  assert_int_equal(has_signature("no header\nDKIM-Signature: v=1\n"), 0);
  assert_int_equal(has_signature(""), 0);
}

/* decoders drop white space at the end of a line: where a line is read in two pieces none
 * may stand bare at the end of what is written */
static void test_blank_at_piece_end(void **state)
{
  struct memory in = {{0}, -1}, out = {{0}, -1};

  (void)state;
  set(&in, M T "\n\xe4\n");
  for (size_t i = 0; i < 40000; i++)
    assert_true(stralloc_catb(&in.s, " ", 1));
  assert_true(stralloc_catb(&in.s, "\r\n", 2));
  for (size_t end = in.s.len - 2; in.s.len > 32000; in.s.len -= 1, end--) {
    memcpy(in.s.s + end, "\r\n", 2);
    if (end % 997 && (end < 32768 - 4 || end > 32768 + 160))
      continue;
    assert_int_equal(convert(&in, &out), 0);
    assert_null(memmem(out.s.s, out.s.len, " \r\n", 3));
  }
  stralloc_free(&in.s);
  stralloc_free(&out.s);
}

/* a body of one long line, longer than any buffer, comes back from quoted-printable */
static void test_long_body(void **state)
{
  struct memory in = {{0}, -1}, out = {{0}, -1};
  size_t body, n = 0;

  (void)state;
  set(&in, M T "\n");
  body = in.s.len;
  for (int i = 0; i < 200000; i++)
    assert_true(stralloc_catb(&in.s, i % 50 ? "abc-." : "\xc3\xa4\r\t ", 5));
  assert_true(stralloc_catb(&in.s, "\r\n", 2));
  assert_int_equal(convert(&in, &out), 0);
  for (size_t i = body + sizeof QP; i < out.s.len; i++) {
    const char *s = out.s.s + i;
    char c = *s;
    if (c == '=' && s[1] == '\r') {
      i += 2;
      continue;
    }
    if (c == '=') {
      unsigned int v;
      char hex[3] = {s[1], s[2], 0};
      assert_int_equal(sscanf(hex, "%2x", &v), 1);
      c = (char)v;
      i += 2;
    }
    assert_true(body + n < in.s.len);
    assert_int_equal((unsigned char)in.s.s[body + n], (unsigned char)c);
    n++;
  }
  assert_int_equal(body + n, in.s.len);
  stralloc_free(&in.s);
  stralloc_free(&out.s);
}

/* a header field that is too long to be kept is 7-bit all the same */
static void test_long_field(void **state)
{
  struct memory in = {{0}, -1}, out = {{0}, -1};

  (void)state;
  set(&in, "A: b\n-Long: ");
  for (size_t i = 0; i < 100000; i++)
    assert_true(stralloc_cats(&in.s, i % 70 ? "\xc3\xa4" : "\r\n x"));
  assert_true(stralloc_cats(&in.s, "\r\nC: d\r\n\r\nx\r\n"));
  assert_int_equal(convert(&in, &out), 0);
  assert_int_equal(out.s.len, in.s.len);
  for (size_t i = 0; i < in.s.len; i++)
    assert_int_equal(out.s.s[i], (unsigned char)in.s.s[i] >= 128 ? '?' : in.s.s[i]);
  only_lines = 1;
  assert_int_equal(convert(&in, &out), 0);
  assert_int_equal(out.s.len, in.s.len);
  assert_memory_equal(out.s.s, in.s.s, in.s.len);
  only_lines = 0;
  stralloc_free(&in.s);
  stralloc_free(&out.s);
}

static void test_deep(void **state)
{
  struct memory in = {{0}, -1}, out = {{0}, -1};

  (void)state;
  set(&in, "");
  for (int i = 0; i < 2000; i++)
    assert_true(stralloc_cats(&in.s, "Content-Type: message/rfc822\r\n\r\n"));
  assert_true(stralloc_cats(&in.s, "A: b\r\n\r\n\xe4\r\n"));
  assert_int_equal(convert(&in, &out), 0);
  assert_null(memchr(out.s.s, 0xe4, out.s.len));
  stralloc_free(&in.s);
  stralloc_free(&out.s);
}

static void test_failures(void **state)
{
  struct memory in = {{0}, -1}, out = {{0}, -1};

  (void)state;
  set(&in, "A: b\n\nHallo, sch\xc3\xb6n\n");
  in.fail_after = 3;
  assert_int_equal(convert(&in, &out), -1);
  assert_int_equal(errno, EIO);
  in.fail_after = -1;
  out.fail_after = 5;
  assert_int_equal(convert(&in, &out), -1);
  stralloc_free(&in.s);
  stralloc_free(&out.s);
}

/* ---- 100 MB, made and checked on the way */

#define HUGE (100 << 20)

struct huge {
  const char *head, *block; /* the message is head, then block again and again */
  uint64_t done;            /* decoded bytes seen */
  size_t column;            /* of the encoded line */
  char escape[3];
  size_t escaped;
  int in_body, wrong;
};

static ssize_t read_huge(void *arg, char *buf, size_t len, uint64_t at)
{
  const struct huge *h = arg;
  size_t head = strlen(h->head), block = strlen(h->block), n = 0;

  while (n < len && at + n < HUGE) {
    size_t from = (size_t)(at + n < head ? at + n : (at + n - head) % block);
    const char *s = at + n < head ? h->head + from : h->block + from;
    size_t m = strlen(s) < len - n ? strlen(s) : len - n;
    if (m > HUGE - at - n)
      m = (size_t)(HUGE - at - n);
    memcpy(buf + n, s, m);
    n += m;
  }
  return (ssize_t)n;
}

static void decoded(struct huge *h, char c)
{
  h->wrong |= h->block[h->done++ % strlen(h->block)] != c;
}

/* decodes quoted-printable */
static int write_huge(void *arg, const char *s, size_t len)
{
  struct huge *h = arg;
  const char *body = h->in_body ? s : memmem(s, len, "\r\n\r\n", 4);

  if (!body)
    return 0;
  body += h->in_body ? 0 : 4;
  h->in_body = 1;
  for (; body < s + len; body++) {
    unsigned int v;
    h->column = *body == '\n' ? 0 : h->column + 1;
    h->wrong |= h->column > 77 || (unsigned char)*body > 126;
    if (h->escaped == 0 && *body != '=')
      decoded(h, *body);
    else if (h->escaped < 2)
      h->escape[h->escaped++] = *body;
    else {
      h->escaped = 0;
      if (h->escape[1] == '\r')
        continue;
      h->escape[0] = h->escape[1];
      h->escape[1] = *body;
      h->wrong |= sscanf(h->escape, "%2x", &v) != 1;
      decoded(h, (char)v);
    }
  }
  return 0;
}

static long peak_memory(void)
{
  FILE *f = fopen("/proc/self/status", "r");
  char line[256];
  long kb = 0;

  while (f && fgets(line, sizeof line, f))
    sscanf(line, "VmHWM: %ld", &kb);
  if (f)
    fclose(f);
  return kb;
}

static void test_huge(void **state)
{
  struct huge h = {.head = M T "Content-Transfer-Encoding: 8bit\r\n\r\n",
                   .block = "Gr\xc3\xbc\xc3\x9f" "e aus K\xc3\xb6ln, = 50 bytes or so of text\t \r\n.\r\n"};
  struct sevenbit_source source = {read_huge, &h, HUGE};
  struct sevenbit_sink sink = {write_huge, &h};
  long before = peak_memory();

  (void)state;
  assert_int_equal(sevenbit_convert(&source, &sink, 0), 0);
  assert_int_equal(h.wrong, 0);
  assert_int_equal(h.done, HUGE - strlen(h.head));
  assert_true(before > 0 && peak_memory() - before < 1024); /* kB */
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_huge), /* first: it looks at the peak */
    cmocka_unit_test(test_rows),
    cmocka_unit_test(test_lines),
    cmocka_unit_test(test_has_field),
    cmocka_unit_test(test_blank_at_piece_end),
    cmocka_unit_test(test_long_body),
    cmocka_unit_test(test_long_field),
    cmocka_unit_test(test_deep),
    cmocka_unit_test(test_failures),
  };
  return cmocka_run_group_tests_name("sevenbit", tests, NULL, NULL);
}

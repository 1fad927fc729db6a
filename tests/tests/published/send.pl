# `send 4|6 PORT WORD...`: sends one datagram after the other to the loopback and prints the answers.
($version, $port, @words) = @ARGV;
$SIG{ALRM} = sub { exit 1 };
alarm 2;
$| = 1;
$to = $version == 6 ? pack("S n N x15 C N", 10, $port, 0, 1, 0) : pack("S n C4 x8", 2, $port, 127, 0, 0, 1);
socket(S, $version == 6 ? 10 : 2, 2, 17);
connect(S, $to) or die;
for (@words) {
    send(S, $_, 0);
    defined recv(S, $answer, 65535, 0) or exit 1;
    print "$answer\n";
}

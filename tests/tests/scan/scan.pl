# Tries each `address port` of /x/targets (an IPv6 address as 32 digits), many at once, with an engine's ping, and tells
# `address port answer` of those that listen.
open(T, "/x/targets");
@all = map { [split] } <T>;
open(I, "/sys/class/net/eth0/ifindex");
$card = 0 + <I>;

# A socket that connects.
sub try {
    my ($address, $port) = @_;
    my $six = length $address == 32;
    my $to = $six ? pack("S n N H32 L", 10, $port, 0, $address, $address =~ /^fe80/ ? $card : 0)
                  : pack("S n C4 x8", 2, $port, split /\./, $address);
    socket(my $socket, $six ? 10 : 2, 1, 6) or die;
    # Without waiting.
    fcntl($socket, 4, 2048);
    connect($socket, $to);
    $socket
}

sub bits {
    my $bits = "";
    vec($bits, fileno $_->[0], 1) = 1 for @_;
    $bits
}

while (@batch = map { [try(@$_), @$_] } splice @all, 0, 500) {
    # Each phase ends when nothing has happened for a second.
    my @open;
    for ($still = 0; @batch && $still < 4;) {
        select(undef, $ready = bits(@batch), undef, 0.25) or $still++, next;
        $still = 0;
        push @open, grep { vec($ready, fileno $_->[0], 1) && unpack("i", getsockopt($_->[0], 1, 4)) == 0 } @batch;
        @batch = grep { !vec($ready, fileno $_->[0], 1) } @batch;
    }
    syswrite($_->[0], "GET /_ping HTTP/1.0\r\n\r\n") for @open;
    for ($still = 0; @open && $still < 4;) {
        select($ready = bits(@open), undef, undef, 0.25) or $still++, next;
        $still = 0;
        for (grep { vec($ready, fileno $_->[0], 1) } @open) {
            next if sysread($_->[0], $_->[3], 4096, length $_->[3]);
            $_->[3] =~ s/\s+/ /g;
            print "$_->[1] $_->[2] $_->[3]\n";
            $_->[4] = 1;
        }
        @open = grep { !$_->[4] } @open;
    }
    for (@open) {
        $_->[3] =~ s/\s+/ /g;
        print "$_->[1] $_->[2] stays open $_->[3]\n";
    }
}

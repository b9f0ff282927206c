"""What files each dataset consists of, how to know them again, and which addresses serve them: a table."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a dataset: its name without .gz, and the size and SHA-256 of its uncompressed bytes."""

    name: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Source:
    """The files of a dataset, the subfolders to look for them in, and the addresses they are served under."""

    files: tuple  # training before test
    folders: tuple
    mirrors: tuple
    suffix: str = ""  # what the mirrors append to a file's name
    archive: str = ""  # the .tar.gz in which the mirrors serve all the files together; empty where each comes alone
    batches: bool = False  # all files but the last are batches of training images, of which your folder may lack some

    def addresses(self, file):
        """Where to download `file` from: one address a mirror."""
        return [mirror + (self.archive or file.name + self.suffix) for mirror in self.mirrors]


def _idx_files(train_images, train_labels, test_images, test_labels):
    """The four files that MNIST and Fashion-MNIST consist of: same names, same sizes, other contents."""
    return (File("train-images-idx3-ubyte", 47_040_016, train_images),
            File("train-labels-idx1-ubyte", 60_008, train_labels),
            File("t10k-images-idx3-ubyte", 7_840_016, test_images),
            File("t10k-labels-idx1-ubyte", 10_008, test_labels))


SOURCES = {
    "mnist": Source(
        files=_idx_files("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                         "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                         "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                         "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        folders=("mnist", "MNIST/raw"),
        mirrors=("https://storage.googleapis.com/cvdf-datasets/mnist/",
                 "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        suffix=".gz"),
    "fashion-mnist": Source(
        files=_idx_files("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                         "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                         "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                         "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        folders=("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
        mirrors=("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                 "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"),
        suffix=".gz"),
    "binarized-mnist": Source(
        files=(File("binarized_mnist_train.amat", 78_400_000,
                    "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
               File("binarized_mnist_valid.amat", 15_680_000,
                    "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
               File("binarized_mnist_test.amat", 15_680_000,
                    "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c")),
        folders=("binarized_mnist", "binarized-mnist"),
        mirrors=("https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
                 "https://raw.githubusercontent.com/mingzhang-yin/ARM-gradient/"
                 "bac893cfcec486bbd00b755b12cf8402053b0e84/")),
    "cifar10": Source(
        files=tuple(File(name, 30_730_000, digest) for name, digest in {
            "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"}.items()),
        folders=("cifar-10-batches-bin",),
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        archive="cifar-10-binary.tar.gz",
        batches=True),
}

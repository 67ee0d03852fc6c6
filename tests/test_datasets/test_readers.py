import json
import tracemalloc

import pytest
from data_trees import CLASSES, save_image

from vlprompt.datasets.build_reader import build_classification_reader as build_reader
from vlprompt.datasets.presets import PRESETS

GOOD = {'train': [['a.jpg', 0, 'cat'], ['b.jpg', 1, 'dog']], 'test': [['c.jpg', 1, 'dog']]}


def read_json(tmp_path, content, split='train'):
    (tmp_path / 'split.json').write_text(content if isinstance(content, str) else json.dumps(content))
    return build_reader(tmp_path, ann_file='split.json').read(split)


@pytest.mark.parametrize(
    ('change', 'split', 'message'),
    [
        (
            {'train': [['a.jpg', 0, 'cat'], ['b.jpg', 0, 'dog']]},
            'train',
            "label 0 is called 'cat' and, at 'b.jpg', 'dog'",
        ),
        ({'train': [['a.jpg', 0, 'cat'], ['b.jpg', 2, 'dog']]}, 'train', 'labels run up to 2 but 1 never occur'),
        ({'train': [['a.jpg', -1, 'cat']]}, 'train', r"label -1 \('cat'\) is negative"),
        ({'train': GOOD['train'] + GOOD['train'][:1]}, 'train', "split 'train' lists 'a.jpg' twice"),
        ({'train': [['a.jpg', 0, 'cat'], ['b.jpg', '1', 'dog']]}, 'train', r"train\[1\] is \['b.jpg', '1', 'dog'\]"),
        ({'train': [['a.jpg', 0]]}, 'train', r'train\[0\] is .*an entry is \[path'),
        ({'test': [['c.jpg', 2, 'cow']]}, 'test', r"'c.jpg': label 2 \('cow'\) is not one of the 2 classes"),
        ({'test': [['c.jpg', 0, 'dog']]}, 'test', r"'c.jpg': label 0 \('dog'\) is not one of the 2 classes"),
        ({'val': []}, 'val', "has no split 'val', only train, test"),
        ({'training': []}, 'train', r"keys train, val, test; found \['test', 'train', 'training'\]"),
        ({}, 'valid', "split must be one of train, val, test; got 'valid'"),
    ],
)
def test_inconsistent_json_is_an_error_that_names_the_place(tmp_path, change, split, message):
    assert len(read_json(tmp_path, GOOD)) == 2
    kind = FileNotFoundError if split == 'val' else ValueError
    with pytest.raises(kind, match=message) as error:
        read_json(tmp_path, GOOD | change, split)
    if split != 'valid':
        assert 'split.json' in str(error.value)


def test_json_syntax_error_names_the_line(tmp_path):
    with pytest.raises(ValueError, match=r'split\.json:2: not valid JSON: '):
        read_json(tmp_path, '{"train":\n oops}')


def test_folder_per_class(tmp_path):
    for path in ('train/dog/1.jpg', 'train/Cat/2.PNG', 'train/Cat/10.png', 'test/dog/3.jpg', 'test/Cat/4.jpg'):
        save_image(tmp_path / path)
    (tmp_path / 'train/dog/Thumbs.db').write_text('')
    reader = build_reader(tmp_path)
    assert reader.splits == ('train', 'test')
    assert reader.classes == ['Cat', 'dog']
    assert [(item.path, item.label) for item in reader.read('train')] == [
        ('train/Cat/10.png', 0),
        ('train/Cat/2.PNG', 0),
        ('train/dog/1.jpg', 1),
    ]
    assert build_reader(tmp_path, classes=['dog', 'Cat']).read('test')[0].label == 1
    with pytest.raises(ValueError, match="no image of class 'bird'"):
        build_reader(tmp_path, classes=['dog', 'Cat', 'bird']).read('train')
    (tmp_path / 'test/cow').mkdir()
    with pytest.raises(ValueError, match=r"test/cow: 'cow' is not a class; .*folders of the training split"):
        reader.read('test')
    (tmp_path / 'train/cow').mkdir()
    with pytest.raises(ValueError, match=r"train/cow: no image of class 'cow'"):
        build_reader(tmp_path).read('train')
    with pytest.raises(FileNotFoundError, match='none of the folders train, val, test'):
        build_reader(tmp_path / 'train').read('train')


def test_text_list_of_all_splits(tmp_path):
    (tmp_path / 'list.txt').write_text('b.jpg,dog,train\na.jpg,fire truck,train\n\nc d.jpg,dog,test\n')
    reader = build_reader(tmp_path, ann_file='list.txt')
    assert reader.classes == ['dog', 'fire truck']
    assert [item.label for item in reader.read('train')] == [0, 1]
    assert reader.read('test')[0].path == 'c d.jpg'


def test_one_text_list_per_split(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'train\.txt does not exist\. It is a list with the columns path, label'
    ):
        build_reader(tmp_path, ann_file='{split}.txt').read('train')
    (tmp_path / 'train.txt').write_text('my photos/a.jpg cat\nb.jpg dog\n')
    (tmp_path / 'test.txt').write_text('c.jpg dog\n')
    reader = build_reader(tmp_path, ann_file='{split}.txt')
    assert reader.splits == ('train', 'test')
    assert reader.read('train')[0].path == 'my photos/a.jpg'
    assert reader.read('test')[0].label == 1
    with pytest.raises(FileNotFoundError, match=r"val\.txt does not exist: has no split 'val', only train, test"):
        reader.read('val')
    alone = build_reader(tmp_path, ann_file='test.txt', classes=['cat', 'dog'], split='test')
    assert alone.read('test') == reader.read('test')
    with pytest.raises(ValueError, match=r'classes are unknown.* give `classes`'):
        build_reader(tmp_path, ann_file='test.txt', split='test').read('test')


def test_swapped_columns_are_said(tmp_path):
    (tmp_path / 'train.txt').write_text('a.jpg 0\n1 b.jpg\n')
    with pytest.raises(
        ValueError, match=r"train.txt:2: expected 'path label', found '1 b.jpg'; the columns are swapped"
    ):
        build_reader(tmp_path, ann_file='train.txt').read('train')


def test_numbers_as_labels_need_names(tmp_path):
    (tmp_path / 'train.txt').write_text('a.jpg 0\nb.jpg 1\n')
    (tmp_path / 'classnames.txt').write_text('cat\ndog\n')
    for classes in (None, 'classnames.txt', ['cat', 'dog']):  # the file is found by its name
        items = build_reader(tmp_path, ann_file='train.txt', classes=classes).read('train')
        assert [(item.label, item.name) for item in items] == [(0, 'cat'), (1, 'dog')]
    (tmp_path / 'classnames.txt').unlink()
    with pytest.raises(ValueError, match=r"train.txt:1: label '0' is a number; give `classes`"):
        build_reader(tmp_path, ann_file='train.txt').read('train')
    (tmp_path / 'train.txt').write_text('a.jpg 0\nb.jpg 2\n')
    with pytest.raises(ValueError, match=r"train.txt:2: label '2' is not one of the 2 classes"):
        build_reader(tmp_path, ann_file='train.txt', classes=['cat', 'dog']).read('train')


def test_csv(tmp_path):
    file = tmp_path / 'list.csv'
    file.write_text('label,path,split\ndog,"a, b.jpg",train\ncat,c.jpg,train\ndog,d.jpg,test\n')
    reader = build_reader(tmp_path, ann_file='list.csv')
    assert reader.classes == ['cat', 'dog']
    assert reader.read('train')[0].path == 'a, b.jpg'
    assert [item.path for item in reader.read('test')] == ['d.jpg']
    for content, message in (
        ('a.jpg,dog\n', "list.csv:1: no column 'path', 'label'; the first line must name the columns path, label"),
        ('path,label\na.jpg\n', 'list.csv:2: expected 2 fields'),
        ('path,label,split\na.jpg,dog,training\n', "list.csv:2: split 'training' is none of"),
        ('path,label\n,dog\n', "list.csv:2: field 'path' is empty"),
    ):
        file.write_text(content)
        with pytest.raises(ValueError, match=message):
            build_reader(tmp_path, ann_file='list.csv').read('train')


def test_unknown_label_in_a_text_list_names_file_and_line(tmp_path):
    (tmp_path / 'list.txt').write_text('a.jpg,cat,train\nb.jpg,cow,test\n')
    with pytest.raises(ValueError, match=r"list\.txt:2: label 'cow' is not one of the 1 classes \('cat'\)"):
        build_reader(tmp_path, ann_file='list.txt').read('test')


def test_contradicting_arguments(tmp_path):
    with pytest.raises(ValueError, match='unknown dataset'):
        build_reader(tmp_path, dataset='Caltech101')
    with pytest.raises(ValueError, match='fixes ann_file'):
        build_reader(tmp_path, dataset='dtd', ann_file='split.json')
    with pytest.raises(ValueError, match='names its classes itself'):
        build_reader(tmp_path, ann_file='split.json', classes=CLASSES)
    with pytest.raises(ValueError, match=r'must be \*\.json'):
        build_reader(tmp_path, ann_file='labels.xlsx')


@pytest.mark.parametrize('dataset', PRESETS['few_shot'])
def test_missing_benchmark_files_say_what_goes_where(tmp_path, dataset):
    with pytest.raises(FileNotFoundError, match=r'does not exist\. .*(CoOp|official archive|generate-world)') as error:
        build_reader(tmp_path, dataset=dataset).read('test')
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize('imbalance', [None, 2])
def test_a_huge_label_takes_no_room(tmp_path, imbalance):
    (tmp_path / 'split.json').write_text(json.dumps({'train': [['a.jpg', 0, 'a'], ['b.jpg', 10**12, 'b']]}))
    tracemalloc.start()
    reader = build_reader(tmp_path, ann_file='split.json', imbalance=imbalance, task='long_tailed')
    message = r'labels run up to 1000000000000 but 1, 2, 3, 4, 5 and 999999999994 more never occur'
    with pytest.raises(ValueError, match=message):
        reader.read('train')
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_images_in_sub_folders_of_a_class_are_read(tmp_path):
    """Like torchvision's ImageFolder; the order of files directly in a class stays that of their names."""
    for name in ('b.jpg', 'a.JPG', 'web.jfif', 'x.avif', 'more/deep/c.png', 'a/z.webp', 'note.txt', '.ipynb/d.png'):
        path = tmp_path / 'train/cat' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / 'train/cat/loop').symlink_to(tmp_path / 'train/cat')
    items = build_reader(tmp_path).read('train')
    names = ['a.JPG', 'a/z.webp', 'b.jpg', 'more/deep/c.png', 'web.jfif', 'x.avif']
    assert sorted(item.path.removeprefix('train/cat/') for item in items) == names


def test_a_class_of_other_files_only_says_what_there_is(tmp_path):
    (tmp_path / 'train/cat').mkdir(parents=True)
    for name in ('a.heic', 'b.heic', 'c'):
        (tmp_path / 'train/cat' / name).touch()
    with pytest.raises(ValueError, match=r"no image of class 'cat', only 2 files \.heic and 1 file without suffix"):
        build_reader(tmp_path).read('train')


def test_one_image_under_two_spellings_is_listed_twice(tmp_path):
    content = {'train': [['a.jpg', 0, 'a'], ['x/../a.jpg', 0, 'a']]}
    (tmp_path / 'split.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"lists 'x/\.\./a\.jpg' twice, once as 'a\.jpg'"):
        build_reader(tmp_path, ann_file='split.json').read('train')
